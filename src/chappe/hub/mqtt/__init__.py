"""MQTT clients as sessions of the hub: connections, what outlives them, shared subscriptions. Without I/O.

May import the hub's contracts and sessions, protocols.mqtt and model.
"""

from chappe.hub.mqtt.carrier import Carrier
from chappe.hub.mqtt.client import MqttClient
from chappe.hub.mqtt.exchange import Exchange
from chappe.hub.mqtt.options import MqttOptions
from chappe.hub.mqtt.service import MqttService

__all__ = ["Carrier", "Exchange", "MqttClient", "MqttOptions", "MqttService"]
