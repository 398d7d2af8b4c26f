"""Outside MQTT brokers: their topics and channels of the hub, in, out or both ways."""
