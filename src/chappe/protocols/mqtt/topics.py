"""Topic names and topic filters as packets carry them (MQTT 5, 4.7 and 4.8.2).

This is their syntax only. Which topics are channels of the hub is decided where they are used.
"""

from typing import Final

from chappe.protocols.mqtt.fields import malformed

#: What the filter of a shared subscription begins with.
SHARE_PREFIX: Final = "$share/"


def check_topic(topic: str) -> None:
    """Refuse what is no topic name: empty, or with a wildcard [MQTT-3.3.2-2, MQTT-4.7.3-1].

    Raises:
        MqttError: 0x81; likewise the others.
    """
    if not topic:
        raise malformed("a topic name is empty")
    if "+" in topic or "#" in topic:
        raise malformed("a topic name contains a wildcard")


def check_filter(topic_filter: str) -> None:
    """Refuse what is no topic filter [MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1]."""
    if not topic_filter:
        raise malformed("a topic filter is empty")
    if "#" in topic_filter and (
        topic_filter.index("#") < len(topic_filter) - 1 or topic_filter[-2:-1] not in ("", "/")
    ):
        raise malformed("# must be the last level of a topic filter, alone in it")
    if "+" in topic_filter and any("+" in level and level != "+" for level in topic_filter.split("/")):
        raise malformed("+ must stand alone in its level of a topic filter")


def split_shared(topic_filter: str) -> tuple[str | None, str]:
    """Return share name and filter of a shared subscription; of any other, None and the filter as it is.

    Raises:
        MqttError: 0x81: it begins as a shared subscription and has no name, a wildcard in its name, or no filter
            [MQTT-4.8.2-1, MQTT-4.8.2-2].
    """
    if not topic_filter.startswith(SHARE_PREFIX):
        return None, topic_filter
    name, slash, rest = topic_filter[len(SHARE_PREFIX) :].partition("/")
    if not name or "+" in name or "#" in name:
        raise malformed("a shared subscription needs a name without wildcards")
    if not slash or not rest:
        raise malformed("a shared subscription needs a filter behind its name")
    return name, rest
