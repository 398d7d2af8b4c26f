"""A hub with MQTT clients in a box: packets in, packets out, no sockets, a clock that the test moves on."""

from __future__ import annotations

from typing import Any

from chappe.hub.contracts import Broker
from chappe.hub.mqtt import MqttClient, MqttOptions, MqttService
from chappe.hub.session import Peer
from chappe.model.frame import Bundle, Frame
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import (
    Connect,
    ConnectProperties,
    Packet,
    Publish,
    Subscribe,
    SubscribeFilter,
    SubscribeProperties,
    Version,
)
from chappe.protocols.mqtt.reader import PacketReader
from tests.hub.harness import World

V3, V5 = Version.V3_1_1, Version.V5


class DurableMemory:
    """A broker in memory that is asked to keep sessions: what a restart finds is what it has."""

    durable = True
    shared = False

    def __init__(self, inner: Broker) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Line:
    """A carrier that keeps what it is told."""

    def __init__(self, box: Box, version: Version) -> None:
        self._box = box
        self.reader = PacketReader(1 << 28, version)
        self.packets: list[Packet] = []
        self.sizes: list[int] = []
        self.shared: list[Frame] = []
        self.closed: int | None = None
        self.paused = False
        self.queued_bytes = 0
        self.last_heard = box.clock.now()
        self.client: MqttClient | None = None

    def send(self, frame: Frame) -> None:
        """Keep the packets of a frame."""
        self._box.activity += 1
        self.shared.append(frame)
        for part in frame.frames if isinstance(frame, Bundle) else (frame,):
            self.sizes.append(len(part.payload))
            self.packets += self.reader.feed(part.payload)
        assert self.reader.error is None, f"the hub sent what no client takes: {self.reader.error}"

    def close(self, code: int, reason: str = "") -> None:
        """End, as a socket does: a moment later."""
        if self.closed is None:
            self.closed = code
            client = self.client
            if client is not None:
                self._box.clock.call_later(0, lambda: client.lost(1006))

    def pause(self) -> None:
        """Stop reading."""
        self.paused = True

    def resume(self) -> None:
        """Read again."""
        self.paused = False


class Device:
    """One connection of an MQTT client; `send` speaks packets, `take` returns what came since the last time."""

    def __init__(self, box: Box, version: Version = V5, address: str = "") -> None:
        self.box = box
        self.version = version
        self.line = Line(box, version)
        self.mqtt = box.service.open(self.line, Peer(address=address, carrier="mqtt"))
        self.line.client = self.mqtt
        self._taken = 0
        self._id = 0

    def send(self, *packets_: Packet) -> None:
        """Send packets, in one piece."""
        self.feed(b"".join(encode(each, self.version) for each in packets_))

    def feed(self, data: bytes) -> None:
        """Send bytes."""
        self.line.last_heard = self.box.clock.now()
        self.mqtt.receive(data, False)
        self.box.settle()

    def take(self) -> list[Packet]:
        """Return what came since the last time."""
        taken, self._taken = self.line.packets[self._taken :], len(self.line.packets)
        return taken

    def next_id(self) -> int:
        """Return a packet id of its own."""
        self._id += 1
        return self._id

    def subscribe(self, *filters: str | SubscribeFilter, qos: int = 0, identifier: int | None = None) -> list[int]:
        """Subscribe and return the codes; what comes with them is left for `take`."""
        asked = tuple(each if isinstance(each, SubscribeFilter) else SubscribeFilter(each, qos) for each in filters)
        number = self.next_id()
        self.send(Subscribe(number, asked, SubscribeProperties(subscription_id=identifier)))
        (answer,) = [
            each for each in self.line.packets if isinstance(each, packets.Suback) and each.packet_id == number
        ]
        self.line.packets.remove(answer)
        return list(answer.reason_codes)

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 0, **options: Any) -> list[Packet]:
        """Publish, complete the exchange, and return the answers."""
        number = self.next_id() if qos else 0
        before = len(self.line.packets)
        self.send(Publish(topic, payload, qos, packet_id=number, **options))
        answers = [each for each in self.line.packets[before:] if isinstance(each, packets.Puback | packets.Pubrec)]
        for each in answers:
            self.line.packets.remove(each)
        if qos == 2 and answers and answers[0].reason_code < 0x80:
            self.send(packets.Pubrel(number))
            (done,) = [each for each in self.line.packets if isinstance(each, packets.Pubcomp)]
            self.line.packets.remove(done)
        return list(answers)

    def messages(self) -> list[Publish]:
        """Return the messages that came since the last time, and acknowledge them."""
        found = [each for each in self.take() if isinstance(each, Publish)]
        for each in found:
            if each.qos == 1:
                self.send(packets.Puback(each.packet_id))
            elif each.qos == 2:
                self.send(packets.Pubrec(each.packet_id))
                self.send(packets.Pubcomp(each.packet_id))
        return found

    def payloads(self) -> list[bytes]:
        """Return what the messages say that came since the last time, and acknowledge them."""
        return [each.payload for each in self.messages()]

    def goodbye(self, reason_code: int = 0, expiry_s: int | None = None) -> None:
        """Disconnect as the protocol wants it."""
        self.send(packets.Disconnect(reason_code, packets.DisconnectProperties(session_expiry_s=expiry_s)))

    def cut(self) -> None:
        """Lose the connection."""
        self.line.closed = self.line.closed or 1006
        self.mqtt.lost(1006)
        self.box.settle()


class Box(World):
    """A world with MQTT."""

    def __init__(self, broker: str = "memory", *, options: MqttOptions | None = None, **rest: Any) -> None:
        super().__init__(broker, **rest)
        self.service = MqttService(self.hub, options or MqttOptions(sys_interval_s=0))
        self.service.sessions.start(lambda: None)
        self.settle()

    def device(
        self,
        client_id: str = "",
        version: Version = V5,
        *,
        clean: bool = True,
        expiry_s: int | None = None,
        keep_alive_s: int = 0,
        properties: ConnectProperties | None = None,
        **connect: Any,
    ) -> Device:
        """Connect a client that is let in; its CONNACK is in `connack`."""
        device = Device(self, version)
        asked = properties or ConnectProperties(session_expiry_s=expiry_s)
        device.send(Connect(client_id, version, clean, keep_alive_s, properties=asked, **connect))
        return device

    def connack(self, device: Device) -> packets.Connack:
        """Take the answer to CONNECT, which comes first."""
        (connack,) = [each for each in device.line.packets if isinstance(each, packets.Connack)]
        assert device.line.packets[0] is connack
        return connack

    def joined(self, *args: Any, **options: Any) -> Device:
        """Connect a client and take its CONNACK, which says yes."""
        device = self.device(*args, **options)
        assert self.connack(device).reason_code == 0
        device.line.packets.remove(self.connack(device))
        return device

    def restart(self) -> Box:
        """Return another hub over what this one stored, as after a crash: nobody said goodbye."""
        again = Box.__new__(Box)
        World.__init__(again, clock=self.clock, wrap=lambda _: self.broker, node="n2")
        again.service = MqttService(again.hub, self.service.options)
        again.service.sessions.start(lambda: None)
        again.settle()
        return again


def durable_box(**options: Any) -> Box:
    """Return a world whose broker keeps sessions."""
    return Box(wrap=DurableMemory, **options)
