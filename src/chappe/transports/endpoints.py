"""Which protocol a WebSocket speaks: decided by its path and its subprotocols."""

from collections.abc import Callable
from typing import Final, TypeAlias, cast

import msgspec

from chappe.hub.contracts import Link
from chappe.hub.hub import HubCore
from chappe.hub.mqtt import Carrier, MqttService
from chappe.hub.session import Peer
from chappe.protocols.base import ServerProtocol
from chappe.protocols.chappe import ChappeProtocol, JsonEncoder, MsgpackEncoder
from chappe.protocols.classic import ClassicEncoder, ClassicProtocol, GatewayProtocol
from chappe.protocols.raw import BroadcastProtocol, RawEncoder
from chappe.transports.credentials import NO_COOKIE, CredentialReader
from chappe.transports.echo import Echo, GuardedEcho
from chappe.transports.portable import Receiver
from chappe.transports.upgrade import Rejected, Request, choose_subprotocol, language_of, tokens

#: Subprotocols that select a protocol, on every path that serves them.
SUBPROTOCOLS: Final = ("chappe.v1", "chappe.v1.msgpack", "classic")
#: Those of `/mqtt`; the second is what clients of the time before 3.1.1 say, and some still offer it alone.
MQTT_SUBPROTOCOLS: Final = ("mqtt", "mqttv3.1")

OpenReceiver: TypeAlias = Callable[[Link], Receiver]


class Endpoint(msgspec.Struct, frozen=True):
    """What an upgrade leads to.

    Attributes:
        subprotocol: told to the client, or None.
        open: makes the receiver of the new link.
        first_look_s: when its silence is looked at first; None: as that of all others.
    """

    subprotocol: str | None
    open: OpenReceiver
    first_look_s: float | None = None


class Endpoints:
    """The WebSocket paths of one hub.

    Attributes:
        reader: knows how connections bring credentials.
    """

    def __init__(
        self,
        hub: HubCore,
        root_protocol: str,
        default_language: str,
        reader: CredentialReader = NO_COOKIE,
        mqtt: MqttService | None = None,
    ) -> None:
        """Take the hub, what is spoken on `/`, and how requests bring credentials; `mqtt` is behind `/mqtt`."""
        self._hub = hub
        self.reader = reader
        self._mqtt = mqtt
        self._root_protocol = root_protocol
        self._default_language = default_language
        limits = hub.limits
        json_protocol = ChappeProtocol(limits, JsonEncoder())
        msgpack_protocol = ChappeProtocol(limits, MsgpackEncoder(), msgpack=True)
        broadcast = BroadcastProtocol(limits, RawEncoder())
        classic_encoder = ClassicEncoder()
        self._make: dict[str, Callable[[], ServerProtocol]] = {
            "chappe.v1": lambda: json_protocol,
            "chappe.v1.msgpack": lambda: msgpack_protocol,
            "classic": lambda: ClassicProtocol(limits, classic_encoder),
            "broadcast": lambda: broadcast,
            "gateway": lambda: GatewayProtocol(limits, classic_encoder),
        }

    def find(self, request: Request) -> Endpoint:
        """Return what a request for an upgrade leads to.

        Raises:
            Rejected: 400 (none of the offered subprotocols is known), 401, 404.
        """
        offered = tokens(request.headers.get("sec-websocket-protocol", ""))
        path = request.path.rstrip("/") or "/"
        if path == "/mqtt" and self._mqtt is not None:
            return self._find_mqtt(self._mqtt, request, offered)
        if path == "/":
            name, chosen = self._by_subprotocol(offered, self._root_protocol)
        elif path == "/ws":
            name, chosen = self._by_subprotocol(offered, "chappe.v1")
        elif path in ("/echo", "/broadcast", "/gateway"):
            name, chosen = path[1:], None
        else:
            raise Rejected(404, "no WebSocket here; try /ws, /, /echo, /broadcast, /gateway or /mqtt")
        token = self.reader.read(request)
        if name == "echo":
            return Endpoint(chosen, self._echo(token, request))
        peer = Peer(
            address=request.address,
            language=language_of(request, self._default_language),
            token=token,
            claims=self.reader.holder(request),
        )
        return Endpoint(chosen, lambda link: self._hub.open(link, self._make[name](), peer))

    def _find_mqtt(self, mqtt: MqttService, request: Request, offered: list[str]) -> Endpoint:
        """Serve MQTT (MQTT 5, 6: the subprotocol is `mqtt`)."""
        # Not in the client's order: whoever offers `mqtt` gets it [MQTT-6.0.0-4].
        chosen = next((name for name in MQTT_SUBPROTOCOLS if name in offered), None)
        if chosen is None:
            raise Rejected(400, f"unknown subprotocol; here is spoken {', '.join(MQTT_SUBPROTOCOLS)}")
        peer = Peer(
            address=request.address,
            language=language_of(request, self._default_language),
            token=self.reader.read(request),
            claims=self.reader.holder(request),
            carrier="mqtt",
        )
        return Endpoint(chosen, lambda link: mqtt.open(cast(Carrier, link), peer), 1.0)

    def _by_subprotocol(self, offered: list[str], default: str) -> tuple[str, str | None]:
        if not offered:
            return default, None
        chosen = choose_subprotocol(offered, SUBPROTOCOLS)
        if chosen is None:
            raise Rejected(400, f"unknown subprotocol; this hub speaks {', '.join(SUBPROTOCOLS)}")
        return chosen, chosen

    def _echo(self, token: str | None, request: Request) -> OpenReceiver:
        """An echo has no session that could refuse it."""
        if self._hub.permissions.anonymous:
            return lambda link: Echo(link, self._hub)
        credential = token if token is not None else self.reader.holder(request)
        if credential is None:
            raise Rejected(401, "a token is required", {"WWW-Authenticate": "Bearer"})
        return lambda link: GuardedEcho(link, self._hub, credential)
