"""What each packet of a connected client means: the commands that the hub gets, or the connection's own affair."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from chappe.hub.mqtt import inbound
from chappe.hub.mqtt.asking import Asking
from chappe.hub.mqtt.kinds import LEAVING
from chappe.protocols import base
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.reason_codes import ReasonCode

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient

_PINGRESP: Final = b"\xd0\x00"


def subscribe(client: "MqttClient", packet: packets.Subscribe) -> list[base.Command]:
    """Ask the hub for filters."""
    if client.asking is None:
        client.asking = Asking(client)
    return client.asking.subscribe(packet)


def unsubscribe(client: "MqttClient", packet: packets.Unsubscribe) -> list[base.Command]:
    """Ask the hub to end filters."""
    if client.asking is None:
        client.asking = Asking(client)
    return client.asking.unsubscribe(packet)


def ping(client: "MqttClient", packet: packets.Pingreq) -> list[base.Command]:
    """Answer at once."""
    client.write(_PINGRESP)
    return []


def disconnect(client: "MqttClient", packet: packets.Disconnect) -> list[base.Command]:
    """Take the goodbye in its turn: what was published before it is published before it."""
    expiry_s = packet.properties.session_expiry_s
    if expiry_s is not None:
        if expiry_s and not client.expiry_s:
            client.fail(ReasonCode.PROTOCOL_ERROR, "a session that ends with its connection cannot be kept")
            return []
        if expiry_s:
            client.expiry_s = min(expiry_s, client.service.expiry_max_s)
        elif client.expiry_s:
            client.service.sessions.ends_with_connection(client)
    if packet.reason_code != ReasonCode.DISCONNECT_WITH_WILL:
        client.will = None
    return [base.Leave(LEAVING)]


def authenticate(client: "MqttClient", packet: packets.Auth) -> list[base.Command]:
    """Go on with the authentication of an open session, or begin one again (4.12.1)."""
    method = packet.properties.authentication_method
    if client.exchange is not None:
        client.exchange.take(packet)
    elif not client.auth_method:
        client.fail(ReasonCode.PROTOCOL_ERROR, "AUTH without an authentication method in CONNECT")
    elif method != client.auth_method:
        client.fail(ReasonCode.PROTOCOL_ERROR, "an AUTH of another method than that of CONNECT")
    elif packet.reason_code != ReasonCode.REAUTHENTICATE:
        client.fail(ReasonCode.PROTOCOL_ERROR, "an AUTH that nobody asked for")
    else:
        client.authenticate(packet.properties.authentication_data or b"")
    return []


def unexpected(client: "MqttClient", packet: packets.Packet) -> list[base.Command]:
    """End the connection of a client that connects twice."""
    client.fail(ReasonCode.PROTOCOL_ERROR, f"unexpected {type(packet).__name__.upper()}")
    return []


#: What takes each kind of packet; a PUBLISH is taken by the client itself, since it is most of them.
TAKERS: Final[dict[type, Callable[["MqttClient", Any], list[base.Command]]]] = {
    packets.Connect: unexpected,
    packets.Publish: inbound.publish,
    packets.Puback: inbound.puback,
    packets.Pubrec: inbound.pubrec,
    packets.Pubrel: inbound.pubrel,
    packets.Pubcomp: inbound.pubcomp,
    packets.Subscribe: subscribe,
    packets.Unsubscribe: unsubscribe,
    packets.Pingreq: ping,
    packets.Disconnect: disconnect,
    packets.Auth: authenticate,
}
