"""A group over three nodes while members come, go and are cut, and a node is killed, at any moment of the protocol.

Nothing waits for anything to settle, so that views differ, answers are late, and messages meet each other on the way.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from chappe.protocols.mqtt.packets import (
    Connack,
    Connect,
    ConnectProperties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    SubscribeFilter,
)
from tests.hub.mqtt.boxes import GONE_S, SHARED, Boxes, post
from tests.hub.mqtt.rig import V5, Device

#: Between two steps, seconds; the way to the engine takes a millisecond.
PAUSES = (0, 0.0005, 0.001, 0.002, 0.01, 0.1, 0.3)


class Member:
    """A client that comes back to its session, at any node, and counts what it gets as the protocol says."""

    def __init__(self, party: Party, client_id: str, keep: bool) -> None:
        self.party = party
        self.client_id = client_id
        self.keep = keep
        self.device: Device | None = None
        # Messages of QoS 2 that were received and are not released: a repetition is no second one.
        self.received: set[int] = set()

    def connect(self) -> None:
        """Connect to any node that is there."""
        party = self.party
        self.device = Device(party.nodes[party.random.choice(party.alive)])
        properties = ConnectProperties(session_expiry_s=600 if self.keep else 0)
        post(self.device, Connect(self.client_id, V5, not self.keep, properties=properties))
        if not self.keep:
            self.received.clear()

    def cut(self) -> None:
        """Lose the connection; whether what came was read before is chance."""
        if self.device is not None:
            if self.party.random.random() < 0.6:
                self.read()
            device, self.device = self.device, None
            device.line.closed = 1006
            device.mqtt.lost(1006)

    def read(self) -> None:
        """Take what came, and answer."""
        device = self.device
        for each in device.take() if device is not None else ():
            assert device is not None
            if isinstance(each, Connack) and not each.session_present:
                self.received.clear()
                post(device, Subscribe(1, (SubscribeFilter(SHARED, self.party.qos),)))
            elif isinstance(each, Publish):
                if each.packet_id not in self.received:
                    self.party.came[each.payload] += 1
                if each.qos == 2:
                    self.received.add(each.packet_id)
                post(device, Pubrec(each.packet_id) if each.qos == 2 else Puback(each.packet_id))
            elif isinstance(each, Pubrel):
                self.received.discard(each.packet_id)
                post(device, Pubcomp(each.packet_id))


class Party:
    """Three nodes, a writer, and members of one group, of which one is there from the start and always comes back."""

    def __init__(self, seed: int, qos: int) -> None:
        self.random = Random(seed)
        self.qos = qos
        self.nodes = Boxes(3)
        self.alive = [0, 1, 2]
        self.came: Counter[bytes] = Counter()
        self.sent: list[bytes] = []
        self.writer = self.nodes[0].joined("writer")
        # A clean session ends with what it was sent of QoS 2: nobody else may get that.
        self.members = [Member(self, f"m{n}", qos == 2 or self.random.random() < 0.6) for n in range(5)]
        self.members.append(Member(self, "anchor", True))
        self.members[-1].connect()
        for _ in range(3):
            self.nodes.clock.advance(0.1)
            self.members[-1].read()

    def publish(self) -> None:
        """Publish one to three messages."""
        for _ in range(self.random.randint(1, 3)):
            self.sent.append(str(len(self.sent)).encode())
            topic = f"jobs/{self.random.randint(0, 3)}"
            post(self.writer, Publish(topic, self.sent[-1], self.qos, packet_id=len(self.sent)))

    def kill(self) -> None:
        """End a node without a word; its clients come back some time."""
        victim = self.random.choice(self.alive[1:])
        self.nodes.kill(victim)
        self.alive.remove(victim)
        for each in self.members:
            if each.device is not None and each.device.box is self.nodes[victim]:
                if self.random.random() < 0.5:
                    each.read()
                each.device = None
        if self.random.random() < 0.5:
            self.nodes.pass_time(GONE_S)

    def step(self) -> None:
        """Do something, and let a little time pass."""
        choice, member = self.random.random(), self.random.choice(self.members)
        if choice < 0.5:
            self.publish()
        elif choice < 0.6 and member.device is None:
            member.connect()
        elif choice < 0.66:
            member.cut()
        else:
            self.read()
        self.nodes.clock.advance(self.random.choice(PAUSES))
        for packet in self.writer.take():
            if isinstance(packet, Pubrec):
                post(self.writer, Pubrel(packet.packet_id))

    def read(self) -> None:
        """Let everybody read; who was sent away by its hub comes back."""
        for each in self.members:
            each.read()
            if each.device is not None and each.device.line.closed is not None:
                each.connect()

    def end(self) -> None:
        """Let everybody come back, and wait until nothing more can come."""
        for each in self.members:
            if each.device is None:
                each.connect()
        for _ in range(int(2 * GONE_S)):
            self.nodes.clock.advance(0.5)
            self.read()
        assert self.writer.line.closed is None


@pytest.mark.parametrize("kills", [0, 1])
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_and_nothing_of_qos_2_comes_twice(seed: int, qos: int, kills: int) -> None:
    party = Party(seed, qos)
    steps = party.random.randint(60, 200)
    moment = party.random.randint(20, steps - 20) if kills else -1
    for step in range(steps):
        if step == moment:
            party.kill()
        party.step()
    party.end()
    assert set(party.came) == set(party.sent)
    if qos == 2:
        assert party.came == Counter(party.sent)
