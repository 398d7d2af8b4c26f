"""An MQTT client for `test_machine`: it keeps its half of a session as the standard says, and may be slow to answer."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Packet, Publish, Version
from chappe.protocols.mqtt.reason_codes import ReasonCode
from tests.hub.mqtt.ledger import Broken, Ledger, Message
from tests.hub.mqtt.rig import V5, Box, Device


class Hold(enum.Enum):
    """What a client keeps to itself for a while."""

    NOTHING = enum.auto()
    ACKS = enum.auto()  #: PUBACK and PUBREC
    COMPS = enum.auto()  #: PUBCOMP


@dataclass
class Outgoing:
    """What a client sent and the hub has not completed.

    Attributes:
        received: PUBREC came.
        arrived: the hub got it at least once.
    """

    message: Message
    received: bool = False
    arrived: bool = True


class Phone:
    """One client, over all its connections.

    Attributes:
        device: its connection; None: it has none.
        out: its own messages of QoS 1 and 2 that are not complete, by packet id.
        resumed: whether this connection found a session.
        room: its Receive Maximum.
        busy: packet ids of the hub that are not complete on this connection.
        again: what came on this connection of what the one before left unacknowledged.
    """

    def __init__(self, client_id: str, version: Version, ledger: Ledger) -> None:
        self.client_id = client_id
        self.version = version
        self.ledger = ledger
        self.device: Device | None = None
        self.out: dict[int, Outgoing] = {}
        self.resumed = False
        self.room = 0
        self.busy: set[int] = set()
        self.again: set[int] = set()
        self.hold = Hold.NOTHING
        self.held: list[Packet] = []
        self.answers: list[Packet] = []
        self._number = 0

    def next_id(self) -> int:
        """Return a packet id that is free."""
        self._number += 1
        while self._number in self.out:
            self._number += 1
        return self._number

    def connect(self, box: Box, packet: packets.Connect, room: int, hold: Hold) -> Device | None:
        """Connect, in place of the connection it has; return that, with its device's last words unread."""
        former, self.device = self.device, Device(box, self.version)
        self.room, self.hold = room, hold
        self.busy, self.again, self.held, self.answers = set(), set(), [], []
        self.device.send(packet)
        return former

    def welcomed(self, present: bool) -> None:
        """Take CONNACK, and go on with what was left of the session (4.4)."""
        device = self.device
        assert device is not None
        first = device.line.packets[0] if device.line.packets else None
        if not isinstance(first, packets.Connack) or first.reason_code:
            raise Broken(f"{self.client_id} expected CONNACK, got {first}")
        if first.session_present != present:
            raise Broken(f"{self.client_id} was told session_present {first.session_present}, expected {present}")
        device.line.packets.pop(0)
        self.resumed = present
        if not present:
            self.out = {}
            return
        for packet_id, each in sorted(self.out.items(), key=lambda item: item[1].message.number):
            if each.received:
                device.send(packets.Pubrel(packet_id))
                continue
            if each.message.qos == 1 or not each.arrived:
                self.ledger.publish(each.message, again=each.arrived)
            each.arrived = True
            device.send(publish_of(each.message, packet_id, self.ledger.now, dup=True, version=self.version))

    def send(self, *sent: Packet) -> None:
        """Send packets, and let everything settle."""
        assert self.device is not None
        self.device.send(*sent)

    def read(self) -> None:
        """Read all there is, and answer."""
        while self.device is not None and (found := self.device.take()):
            for packet in found:
                self._take(packet)

    def release(self, count: int) -> None:
        """Send some of the answers that were held back, in their order."""
        going, self.held = self.held[:count], self.held[count:]
        for packet in going:
            self._answer(packet)

    def lose(self) -> None:
        """Lose the connection; what was not read is lost with it."""
        assert self.device is not None
        self.device.cut()
        self.device = None

    def check(self) -> None:
        """Demand that everything came for which there was room."""
        account = self.ledger.accounts[self.client_id]
        if self.device is None:
            return
        if self.device.line.closed is not None:
            raise Broken(f"{self.client_id} was closed with {self.device.line.closed}")
        has_room = len(self.busy) < self.room
        for each in account.owed:
            if not each.optional and (each.qos == {0} or has_room):
                raise Broken(f"{self.client_id} did not get {each} of {account.owed}")
        account.owed = [each for each in account.owed if each.qos != {0}]
        if self.resumed and has_room and (left := account.unacked.keys() - self.again - self._held_ids()):
            raise Broken(f"{self.client_id} did not get {left} again, which it never acknowledged")

    def _held_ids(self) -> set[int]:
        return {each.packet_id for each in self.held}  # type: ignore[union-attr]

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, Publish):
            self._take_publish(packet)
        elif isinstance(packet, packets.Pubrel):
            self.ledger.accounts[self.client_id].taken.pop(packet.packet_id, None)
            self.busy.add(packet.packet_id)
            self._hold_or_answer(packets.Pubcomp(packet.packet_id), Hold.COMPS)
        elif isinstance(packet, packets.Pubrec):
            self.answers.append(packet)
            self._received(packet)
        elif isinstance(packet, packets.Puback | packets.Pubcomp):
            self.answers.append(packet)
            self.out.pop(packet.packet_id, None)
        elif isinstance(packet, packets.Suback | packets.Unsuback):
            self.answers.append(packet)
        else:
            raise Broken(f"{self.client_id} got {packet}")

    def _received(self, packet: packets.Pubrec) -> None:
        if packet.packet_id in self.out:
            self.out[packet.packet_id].received = True
        self.send(packets.Pubrel(packet.packet_id))

    def _take_publish(self, packet: Publish) -> None:
        account = self.ledger.accounts[self.client_id]
        if packet.qos:
            self.busy.add(packet.packet_id)
            self.again.add(packet.packet_id)
            if self.version is V5 and len(self.busy) > self.room:
                raise Broken(f"{self.client_id} takes {self.room} at once and got {sorted(self.busy)}")
        account.take(packet, resumed=self.resumed)
        left_s = packet.properties.message_expiry_s
        if left_s is not None and left_s > 1_000:
            raise Broken(f"{self.client_id} got {packet}, which nobody published with such an expiry")
        if packet.qos == 1:
            self._hold_or_answer(packets.Puback(packet.packet_id), Hold.ACKS)
        elif packet.qos == 2:
            self._hold_or_answer(packets.Pubrec(packet.packet_id), Hold.ACKS)

    def _hold_or_answer(self, packet: Packet, hold: Hold) -> None:
        if self.hold is hold or self.held:
            self.held.append(packet)
        else:
            self._answer(packet)

    def _answer(self, packet: Packet) -> None:
        if isinstance(packet, packets.Puback):
            self.ledger.acknowledged(self.client_id, packet.packet_id)
        if isinstance(packet, packets.Puback | packets.Pubcomp):
            self.busy.discard(packet.packet_id)
        self.send(packet)


TAKEN_OVER: Final = ReasonCode.SESSION_TAKEN_OVER


def publish_of(message: Message, packet_id: int, now: float, *, dup: bool, version: Version) -> Publish:
    """Return a message as a packet."""
    properties = packets.NO_PUBLISH_PROPERTIES
    left_s = message.expires_at - now
    if version is V5 and left_s < float("inf"):
        properties = packets.PublishProperties(message_expiry_s=max(1, round(left_s)))
    return Publish(message.topic, message.payload, message.qos, message.retain, dup, packet_id, properties)
