"""paho's client, changed where a bridge must know better: what is stored, and what a session still is.

It confirms a message when told and not before; gives one of QoS 2 on at once, and once, before it says PUBREC; sends a
PUBREL only in a session that is there; and uses few packet ids, which a new process can free. All of it is private to
paho, so its minor version is pinned and `test_confirming.py` looks at each part.
"""

import asyncio
import socket
import ssl
from typing import Any, Final, Literal

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import LogLevel, MQTTErrorCode

#: Numbers for packets: more than are ever on their way, and few enough to release all that a former process left.
PACKET_IDS: Final = 1_024
_QOS_2: Final = 2
#: States of messages in paho: to be sent again whole, or its PUBREL only.
_PUBLISH: Final = paho.mqtt_ms_publish
_RESEND_PUBREL: Final = paho.mqtt_ms_resend_pubrel


class Arrival(msgspec.Struct, frozen=True):
    """A message that came, and that is confirmed by `Line.confirm` when somebody has it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    headers: dict[str, str]
    packet_id: int
    connection: int
    session: int


class Confirming(paho.Client):
    """paho's client; a message is confirmed when told, and one of QoS 2 is given on at once, and once.

    Attributes:
        noted: the last complaint of paho's log.
        connections: how many there were.
        lives: how many sessions the broker began for us.
        is_drained: nothing more is there to be read at the moment.
        released: all packet ids are free, whatever a former process did.
    """

    noted: str
    connections: int
    lives: int
    is_drained: bool
    _storing: set[int]
    _stored: set[int]
    _releasing: set[int]
    released: asyncio.Event
    _arrived: int

    def begin(self) -> None:
        """Set up what this class adds."""
        self.noted = ""
        self.is_drained = False
        self.connections = self.lives = self._arrived = 0
        self._storing = set()
        self._stored = set()
        self._releasing = set()
        self.released = asyncio.Event()
        self.manual_ack_set(True)
        self.max_inflight_messages_set(0)

    def opened(self, session_present: bool) -> None:
        """Learn of a connection; without a session the broker's packet ids mean something new."""
        self.connections += 1
        if not session_present:
            self.lives += 1
            self._storing.clear()
            self._stored.clear()
            for message in self._out_messages.values():
                # The broker knows nothing of it: it would answer a PUBREL, and the message be lost.
                message.dup = False
                if message.state == _RESEND_PUBREL:
                    message.state = _PUBLISH

    def confirm(self, arrival: Arrival) -> None:
        """Confirm a message: it is stored here."""
        if arrival.qos == _QOS_2 and arrival.session == self.lives:
            self._storing.discard(arrival.packet_id)
            self._stored.add(arrival.packet_id)
            # Over a later connection too: the broker sent it again there, and was left waiting.
            super()._send_pubrec(arrival.packet_id)
        elif arrival.qos == 1 and arrival.connection == self.connections:
            self.ack(arrival.packet_id, 1)

    def forget(self, arrival: Arrival) -> None:
        """Take a message as new when it comes again: it could not be stored."""
        if arrival.session == self.lives:
            self._storing.discard(arrival.packet_id)

    def release_all(self) -> None:
        """Let the broker forget the packet ids that a former process used for QoS 2 (MQTT 5, 4.3.3).

        Nothing may be sent before all the answers came (`released`): one would be taken for that of a new message.
        """
        self.released.clear()
        self._releasing = set(range(1, PACKET_IDS + 1))
        for packet_id in range(1, PACKET_IDS + 1):
            self._send_pubrel(packet_id)

    def _mid_generate(self) -> int:
        with self._mid_generate_mutex:
            while True:
                self._last_mid = self._last_mid % PACKET_IDS + 1
                if self._last_mid not in self._out_messages:
                    return self._last_mid

    def _easy_log(self, level: LogLevel, fmt: str, *args: Any) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self.noted = str(args[-1] if args else fmt)

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """Do the handshake; the context checks the name. paho leaves the socket open when it fails."""
        assert self._ssl_context is not None
        secured = self._ssl_context.wrap_socket(tcp_sock, server_hostname=self._host, do_handshake_on_connect=False)
        try:
            secured.settimeout(self._connect_timeout)
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            return super()._sock_recv(bufsize)
        except BlockingIOError:
            self.is_drained = True
            raise

    def _handle_publish(self) -> MQTTErrorCode:
        self._arrived = 0
        result = super()._handle_publish()
        packet_id = self._arrived
        if packet_id:
            message = self._in_messages.pop(packet_id)
            if packet_id in self._stored:
                return super()._send_pubrec(packet_id)
            if packet_id not in self._storing:
                self._storing.add(packet_id)
                self._handle_on_message(message)
        return result

    def _send_pubrec(self, mid: int) -> MQTTErrorCode:
        """Called for a message of QoS 2 that is not stored yet: not now."""
        self._arrived = mid
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet_id = int.from_bytes(self._in_packet["packet"][:2], "big")
        if packet_id not in self._releasing:
            return super()._handle_pubackcomp(cmd)
        self._releasing.discard(packet_id)
        if not self._releasing:
            self.released.set()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubrel(self) -> MQTTErrorCode:
        packet_id = int.from_bytes(self._in_packet["packet"][:2], "big")
        self._stored.discard(packet_id)
        return self._send_pubcomp(packet_id)
