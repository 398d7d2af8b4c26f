"""What each answer of the hub is in packets."""

from typing import TYPE_CHECKING

from chappe.hub.mqtt import inbound
from chappe.hub.mqtt.kinds import (
    CONNECTING,
    LEAVING,
    QOS_1,
    QOS_2,
    RESUMING,
    SUBSCRIBING,
    UNSUBSCRIBING,
    parts_of,
)
from chappe.model.error_codes import Code
from chappe.protocols import base
from chappe.protocols.mqtt import packets

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient


def tell(client: "MqttClient", message: base.Message) -> None:
    """Send a client what the hub says, or note it."""
    kind = type(message)
    if kind is base.Published:
        inbound.published(client, message)  # type: ignore[arg-type]
    elif kind is base.Failed:
        _failed(client, message)  # type: ignore[arg-type]
    elif kind is base.Connected:
        assert client.handshake is not None
        client.handshake.opened(client)
    elif kind is base.Subscribed:
        if client.asking is not None:
            client.asking.subscribed(message)  # type: ignore[arg-type]
    elif kind is base.Done:
        _done(client, message)  # type: ignore[arg-type]
    elif kind is base.Unsubscribed:
        if client.asking is not None:
            client.asking.ended(message)  # type: ignore[arg-type]
    elif kind is base.Direct:
        packet = packets.Publish(f"$session/{client.session.id}", message.payload)  # type: ignore[union-attr]
        client.put(packet)


def _failed(client: "MqttClient", failure: base.Failed) -> None:
    kind, packet_id, _ = parts_of(failure.id or 0)
    if kind == CONNECTING:
        assert client.handshake is not None
        client.handshake.failed(client, failure)
    elif kind in (SUBSCRIBING, UNSUBSCRIBING, RESUMING):
        assert client.asking is not None
        client.asking.failed(failure)
    elif kind in (QOS_1, QOS_2):
        inbound.publish_failed(client, kind, packet_id, failure)
    elif kind == LEAVING:
        client.session.close(Code.DISCONNECTED)


def _done(client: "MqttClient", message: base.Done) -> None:
    if message.id & LEAVING == UNSUBSCRIBING and client.asking is not None:
        client.asking.unsubscribed(message)
    elif message.id & LEAVING == LEAVING:
        client.end_quietly()
