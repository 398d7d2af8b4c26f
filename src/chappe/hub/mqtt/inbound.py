"""What comes in from a client: messages, and acknowledgements of what went out."""

from typing import TYPE_CHECKING

from chappe.hub.mqtt.kinds import QOS_1, QOS_2, command_id, parts_of
from chappe.hub.mqtt.wording import PASSING, reason_of_publish
from chappe.model.error_codes import Code
from chappe.protocols import base
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.messages import headers_of, kind_of
from chappe.protocols.mqtt.packets import AckProperties, PublishProperties, Version
from chappe.protocols.mqtt.reason_codes import ReasonCode

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient


def publish(client: "MqttClient", packet: packets.Publish) -> list[base.Command]:
    """Return the command that a message means; none for a repetition, or if the connection ended."""
    topic, properties, qos = packet.topic, packet.properties, packet.qos
    if properties.topic_alias is not None:
        topic = _resolve_alias(client, topic, properties)
        if not topic:
            return []
    if qos and not _takes(client, packet):
        return []
    now_ms = client.hub.clock.wall_ms() if properties.message_expiry_s is not None else 0
    headers = headers_of(qos, packet.retain, properties, now_ms)
    kind = kind_of(packet.payload, properties)
    key = (client.taken[packet.packet_id] or None) if qos == QOS_2 and client.taken is not None else None
    return [
        base.Publish(command_id(qos, packet.packet_id), topic, packet.payload, kind, key, None, packet.retain, headers)
    ]


def published(client: "MqttClient", message: base.Published) -> None:
    """Acknowledge a message that the broker has."""
    kind, packet_id, _ = parts_of(message.id)
    if kind == QOS_1:
        client.unanswered -= 1
        client.put(packets.Puback(packet_id))
    elif kind == QOS_2:
        if client.taken is not None and packet_id in client.taken:
            # It is stored: a repetition needs no key any more.
            client.taken[packet_id] = ""
        client.put(packets.Pubrec(packet_id))


def publish_failed(client: "MqttClient", kind: int, packet_id: int, failure: base.Failed) -> None:
    """Tell why a message was refused, as far as the version has words for it."""
    if kind == QOS_1:
        client.unanswered -= 1
    reason_code: int = reason_of_publish(failure.code, str(failure.detail.get("field", "")))
    if client.version is not Version.V5:
        if failure.code in PASSING:
            # It has no word for this: a connection that ends is all that keeps the message with its sender.
            client.session.close(Code.INSUFFICIENT_STATE)
            return
        # It would send the same again and again (3.1.1, 3.3.5).
        reason_code = 0
    properties = AckProperties(reason_string=failure.reason)
    if kind == QOS_1:
        client.put(packets.Puback(packet_id, reason_code, properties))
        return
    if reason_code and client.taken is not None:
        client.taken.pop(packet_id, None)
    client.put(packets.Pubrec(packet_id, reason_code, properties))


def puback(client: "MqttClient", packet: packets.Puback) -> list[base.Command]:
    """Take a PUBACK: there is room for the next message."""
    if client.outbound is not None:
        delivery = client.outbound.window.acknowledged(packet.packet_id)
        if delivery is not None:
            client.service.groups.done(delivery)
        client.service.landed(client)
        client.outbound.go_on()
    return []


def pubrec(client: "MqttClient", packet: packets.Pubrec) -> list[base.Command]:
    """Take a PUBREC: release the message, or be done with it if it was refused."""
    failed = packet.reason_code >= ReasonCode.UNSPECIFIED_ERROR
    outbound = client.outbound
    flight = outbound.window.received(packet.packet_id, failed) if outbound is not None else None
    if flight is None:
        # A repetition of one that is done with, or of none (MQTT 5, 3.6.2.1).
        client.release(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
    elif failed:
        assert outbound is not None
        client.service.landed(client)
        outbound.go_on()
    else:
        client.service.released(client, flight)
    return []


def pubrel(client: "MqttClient", packet: packets.Pubrel) -> list[base.Command]:
    """Take a PUBREL: from here on its id is a new message's (4.3.3)."""
    known = client.taken is not None and packet.packet_id in client.taken
    if known:
        assert client.taken is not None
        del client.taken[packet.packet_id]
        client.service.untaken(client, packet.packet_id)
    else:
        client.put(packets.Pubcomp(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
    return []


def pubcomp(client: "MqttClient", packet: packets.Pubcomp) -> list[base.Command]:
    """Take a PUBCOMP: there is room for the next message."""
    if client.outbound is not None and client.outbound.window.completed(packet.packet_id):
        client.service.landed(client)
        client.outbound.go_on()
    return []


def _takes(client: "MqttClient", packet: packets.Publish) -> bool:
    """Whether a message of QoS 1 or 2 is to be published; a repetition of QoS 2 is only answered (4.3.3)."""
    taken = client.taken
    if packet.qos == QOS_2:
        if taken is None:
            taken = client.taken = {}
        if client.unsure and packet.packet_id in client.unsure:
            # Taken on an earlier connection, which may have ended before it was stored: its key makes it one.
            client.unsure.discard(packet.packet_id)
            return True
        if packet.packet_id in taken:
            if not client.unanswered:
                client.put(packets.Pubrec(packet.packet_id))
            return False
    under_way = client.unanswered + (len(taken) if taken else 0)
    if client.version is Version.V5 and under_way >= client.service.options.receive_maximum:
        client.fail(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, f"more than {under_way} messages under way")
        return False
    if packet.qos == QOS_2:
        assert taken is not None
        taken[packet.packet_id] = client.service.new_key(client)
        client.service.taking(client)
    else:
        client.unanswered += 1
    return True


def _resolve_alias(client: "MqttClient", topic: str, properties: PublishProperties) -> str:
    """Return the topic of a message with an alias; empty: the connection ended."""
    alias = properties.topic_alias or 0
    if not 0 < alias <= client.service.options.topic_alias_maximum:
        client.fail(ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {alias} is out of range")
        return ""
    if client.aliases is None:
        client.aliases = {}
    if topic:
        client.aliases[alias] = topic
        return topic
    known = client.aliases.get(alias, "")
    if not known:
        client.fail(ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} stands for nothing")
    return known
