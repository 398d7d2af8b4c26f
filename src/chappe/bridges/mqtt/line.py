"""One connection after the other to an outside broker: aiomqtt, with what a bridge needs beyond it.

aiomqtt drives paho's client on the event loop. It registers sockets late, reads one packet at a time, and does not see
a connection that ends before its answer; that is changed here and tested (`test_line.py`), which is why its minor
version is pinned.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiomqtt
import msgspec
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from chappe.bridges.mqtt.address import Address
from chappe.bridges.mqtt.confirming import PACKET_IDS, Arrival, Confirming
from chappe.bridges.mqtt.refusal import RefusalError, refusal
from chappe.bridges.mqtt.topics import Mapping

#: Messages on their way out that wait for their confirmation: what mosquitto has, and 20 round trips at once.
INFLIGHT: Final = 20
#: Messages on their way in that we have not confirmed (MQTT 5's Receive Maximum).
RECEIVE: Final = 100
#: Connecting, and each answer to it, may take so long.
TIMEOUT_S: Final = 10.0
#: A broker keeps our session for so long without us, seconds; MQTT 3.1.1 knows no such limit.
SESSION_S: Final = 7 * 24 * 3_600
#: The same for a client id that nobody will use again.
BRIEF_SESSION_S: Final = 3_600
_FAILURE: Final = 0x80
#: Packets that are read before others have their turn.
_READ_AT_ONCE: Final = 256
#: Answers a PUBREL that came twice (MQTT 5, 3.7.2.1): the message is there.
_NOT_FOUND: Final = 0x92


class Capabilities(msgspec.Struct, frozen=True):
    """What the broker said at the connection.

    Attributes:
        session_present: it knew us, and kept what came meanwhile.
        inflight: messages of QoS 1 and 2 it takes at the same time.
        packet_bytes: largest packet it takes; 0: it did not say.
    """

    session_present: bool = False
    inflight: int = INFLIGHT
    maximum_qos: int = 2
    retain: bool = True
    packet_bytes: int = 0


class Line(aiomqtt.Client):
    """A client that is opened again and again; what is under way goes on in the next connection.

    Attributes:
        capabilities: of the present connection, or the last one.
    """

    def __init__(
        self,
        address: Address,
        client_id: str,
        *,
        keeps: bool,
        heard: Callable[[Arrival], None],
        confirmed: Callable[[int, bool, str], None],
    ) -> None:
        """Set a client up; nothing is connected yet.

        Args:
            keeps: the client id will be used again by another process, so that the broker keeps its session.
            heard: called with each message; it ends by `confirm`.
            confirmed: called with the packet id of a message that was sent, whether it was taken, and why not.
        Raises:
            ConfigurationError: a file of a certificate cannot be used.
        """
        self._is_5 = address.version == "5"
        self._keeps = keeps
        properties = None
        if self._is_5:
            properties = _properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_S if keeps else BRIEF_SESSION_S
            properties.ReceiveMaximum = RECEIVE
        super().__init__(
            address.host,
            address.port,
            username=address.username or None,
            password=address.password or None,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if self._is_5 else aiomqtt.ProtocolVersion.V311,
            # Without a client id for good, a session of 3.1.1 would stay at the broker for ever.
            clean_session=None if self._is_5 else not keeps,
            clean_start=not keeps if self._is_5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            transport="websockets" if address.websocket_path else "tcp",
            websocket_path=address.websocket_path or None,
            timeout=TIMEOUT_S,
            keepalive=address.keepalive_s,
            properties=properties,
            tls_context=address.tls_context(),
        )
        if address.insecure:
            self._client.tls_insecure_set(True)
        self.pending_calls_threshold = PACKET_IDS
        self._client.__class__ = Confirming
        assert isinstance(self._client, Confirming)
        self.paho: Confirming = self._client
        self.paho.begin()
        self.capabilities = Capabilities()
        self._heard = heard
        self._confirmed = confirmed

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._lock.locked() and self._connected.done() and not self._disconnected.done()

    async def open(self) -> None:
        """Connect. If cancelled, it first lets a connection that is being made end: nobody would own it.

        Raises:
            RefusalError: and why.
        """
        self.paho.noted = ""
        entering = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            await asyncio.gather(entering, return_exceptions=True)
            await self.close()
            raise
        except (aiomqtt.MqttError, OSError) as error:
            why = refusal(error, self.paho.noted)
            self._drop()
            raise why from None
        await self._release()

    async def _release(self) -> None:
        """Free the packet ids of a former process, once.

        Raises:
            RefusalError: the connection ended meanwhile, or the broker does not answer.
        """
        if self.paho.released.is_set():
            return
        if not self.capabilities.session_present:
            self.paho.released.set()
            return
        self.paho.release_all()
        released = asyncio.ensure_future(self.paho.released.wait())
        try:
            await asyncio.wait((released, self._disconnected), timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not self.paho.released.is_set():
                raise RefusalError("closed", self.paho.noted or "the broker does not answer PUBREL")
        finally:
            released.cancel()
            await asyncio.gather(released, return_exceptions=True)

    async def lost(self) -> None:
        """Wait for the end of the connection.

        Raises:
            RefusalError: it ended, and why.
        """
        try:
            await asyncio.shield(self._disconnected)
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            why = refusal(error, self.paho.noted)
            self._drop()
            raise why from None

    async def close(self) -> None:
        """Say goodbye, if there is a connection."""
        if self._lock.locked():
            with contextlib.suppress(aiomqtt.MqttError, OSError):
                await self.__aexit__(None, None, None)
        self._drop()

    def _drop(self) -> None:
        """Forget a connection that ended, and be ready for the next."""
        self.paho._sock_close()
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()
        self._connected = asyncio.Future()
        self._disconnected = asyncio.Future()
        if self._lock.locked():
            self._lock.release()

    async def follow(self, mappings: Sequence[Mapping], *, no_local: bool = True) -> list[str]:
        """Subscribe to what mappings bring in; return the filters that were refused.

        With MQTT 5 without what this client sends itself (`no_local`), and with the retain flag as it was published.

        Raises:
            RefusalError: the connection ended, or there is no answer.
        """
        refused: list[str] = []
        for mapping in mappings:
            options = None
            if self._is_5:
                options = SubscribeOptions(qos=mapping.qos, noLocal=no_local, retainAsPublished=True)
            try:
                answer = await self.subscribe(mapping.remote, 0 if options else mapping.qos, options)
            except (aiomqtt.MqttError, OSError) as error:
                raise refusal(error, self.paho.noted) from None
            if any((each.value if isinstance(each, ReasonCode) else each) >= _FAILURE for each in answer):
                refused.append(mapping.remote)
        return refused

    def send(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> int:
        """Send a message; `confirmed` tells later what became of it. Returns its packet id."""
        return self.paho.publish(topic, payload, qos, retain, properties).mid

    def confirm(self, arrival: Arrival) -> None:
        """Tell the broker that a message is stored here."""
        self.paho.confirm(arrival)

    def forget(self, arrival: Arrival) -> None:
        """Take a message as new when the broker sends it again."""
        self.paho.forget(arrival)

    # --- What aiomqtt is told by paho --------------------------------------------------------------------------------

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        if not reason_code.is_failure:
            self.paho.opened(flags.session_present)
            # paho's own "first only" begins anew with each call of `connect`.
            if self._is_5:
                self._clean_start = False
            self.capabilities = _capabilities(flags.session_present, properties)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        if not self._connected.done():
            # Cut before the answer: aiomqtt would wait for it until its timeout.
            self._connected.set_exception(aiomqtt.MqttCodeError(reason_code, "cut"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        def begin() -> None:
            self._loop.add_reader(sock.fileno(), self._read)
            self._misc_task = self._loop.create_task(self._misc_loop())

        self._on_loop(begin, sock)

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        self._on_loop(lambda: self._loop.add_writer(sock.fileno(), self._write), sock)

    def _on_loop(self, register: Callable[[], None], sock: Any) -> None:
        """Register a socket if it is still there; aiomqtt does it later, when its number may be another's.

        paho connects in a thread; everything else is called on the loop.
        """

        def now() -> None:
            if self.paho.socket() is not None and self.paho.socket() is sock and not _is_closed(sock):
                self._guarded(register)

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._loop.call_soon_threadsafe(now)
        else:
            now()

    def _on_socket_unregister_write(self, client: Any, userdata: Any, sock: Any) -> None:
        # uvloop has closed the watch of a socket that was reset.
        with contextlib.suppress(RuntimeError):
            super()._on_socket_unregister_write(client, userdata, sock)

    def _on_socket_close(self, client: Any, userdata: Any, sock: Any) -> None:
        try:
            super()._on_socket_close(client, userdata, sock)
        except RuntimeError:
            if self._misc_task is not None:
                self._misc_task.cancel()

    def _read(self) -> None:
        """Read all that is there: of a connection that was reset uvloop tells once and never again.

        TLS may have decoded more than the socket shows, too.
        """
        self.paho.is_drained = False
        for _ in range(_READ_AT_ONCE):
            if self.paho.is_drained or self.paho.socket() is None:
                return
            self._guarded(self.paho.loop_read)
        self._loop.call_soon(self._read)

    def _write(self) -> None:
        self._guarded(self.paho.loop_write)

    def _guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self.paho.noted = self.paho.noted or str(error) or type(error).__name__
            self.paho._sock_close()
            waiting = self._connected if not self._connected.done() else self._disconnected
            if not waiting.done():
                waiting.set_exception(error if isinstance(error, OSError) else aiomqtt.MqttError(str(error)))

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        pairs = getattr(message.properties, "UserProperty", None) or ()
        self._heard(
            Arrival(
                message.topic,
                bytes(message.payload),
                message.qos,
                bool(message.retain),
                dict(pairs),
                message.mid,
                self.paho.connections,
                self.paho.lives,
            )
        )

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        super()._on_publish(client, userdata, mid, reason_code, properties)
        taken = not reason_code.is_failure or reason_code.value == _NOT_FOUND
        self._confirmed(mid, taken, str(reason_code))


def _is_closed(sock: Any) -> bool:
    return bool(sock.fileno() < 0)


def publish_properties() -> Properties:
    """Return properties for a message, empty."""
    return _properties(PacketTypes.PUBLISH)


def packed(properties: Properties) -> bytes:
    """Return properties as they are sent."""
    return bytes(properties.pack())  # type: ignore[no-untyped-call]


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]


def _capabilities(session_present: bool, properties: Properties | None) -> Capabilities:
    def told(name: str, otherwise: int) -> int:
        return int(getattr(properties, name, otherwise))

    return Capabilities(
        session_present,
        min(INFLIGHT, told("ReceiveMaximum", INFLIGHT)),
        told("MaximumQoS", 2),
        bool(told("RetainAvailable", 1)),
        told("MaximumPacketSize", 0),
    )
