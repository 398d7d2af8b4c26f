"""A group over three nodes while members come, go and are cut, and worse, at any moment of the protocol.

Nothing waits for anything to settle, so that views differ, answers are late, and messages meet each other on the way.
A node is killed, or all that have members are, and started again; one is cut off from the engine until the others take
it for gone, and comes back; what is written down fails, or is written and not answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from chappe.hub.cluster.bus import PREFIX
from chappe.hub.contracts import Append, Broker, Outcome, Read
from chappe.model.error_codes import Code
from chappe.model.position import Position
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
        self.device = Device(party.nodes[party.random.choice(party.homes)])
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
            if isinstance(each, Connack) and each.reason_code:
                continue
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


class Flaky:
    """A way to the engine by which what hubs write down fails now and then, whether it is stored or not."""

    def __init__(self, inner: Broker, random: Random, chance: float) -> None:
        self._inner = inner
        self._random = random
        self._chance = chance
        self.is_calm = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, batch: Sequence[Append], done: Callable[[Sequence[Outcome]], None]) -> None:
        """Store, or not, and answer, or not."""
        refused = [Outcome(Code.NOT_AVAILABLE, Position("", 0))] * len(batch)
        is_ours = batch[0].channel.startswith(PREFIX + "mqtt")
        drawn = self._random.random() if is_ours and not self.is_calm else 1.0
        if drawn < self._chance / 2:
            self._inner.read(Read(batch[0].channel, batch[0].namespace), lambda result: done(refused))
        elif drawn < self._chance:
            self._inner.append(batch, lambda outcomes: done(refused))
        else:
            self._inner.append(batch, done)


class Party:
    """Nodes, a writer, and members of one group, of which one is there from the start and always comes back.

    Attributes:
        homes: the nodes that members connect to; the writer's is the first node.
    """

    def __init__(self, seed: int, qos: int, *, apart: bool = False, flaky: float = 0.0) -> None:
        self.random = Random(seed)
        self.qos = qos
        faults = Random(seed)
        self.flaky: list[Flaky] = []

        def wrap(broker: Broker) -> Broker:
            self.flaky.append(Flaky(broker, faults, flaky))
            return self.flaky[-1]

        self.nodes = Boxes(3, wrap=wrap)
        self.alive = [0, 1, 2]
        self.homes = [1, 2] if apart else [0, 1, 2]
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
        for way in self.flaky:
            way.is_calm = False

    def publish(self) -> None:
        """Publish one to three messages."""
        for _ in range(self.random.randint(1, 3)):
            self.sent.append(str(len(self.sent)).encode())
            topic = f"jobs/{self.random.randint(0, 3)}"
            post(self.writer, Publish(topic, self.sent[-1], self.qos, packet_id=len(self.sent)))

    def kill(self) -> None:
        """End a node without a word; its clients come back some time."""
        self._kill(self.random.choice(self.alive[1:]))
        if self.random.random() < 0.5:
            self.nodes.pass_time(GONE_S)

    def kill_all(self) -> None:
        """End all nodes that have members, without a word, and start others."""
        for victim in tuple(self.homes):
            self._kill(victim)
        for _ in range(2):
            self.homes.append(len(self.nodes.boxes))
            self.nodes.start()
        self.alive += self.homes
        self.nodes.clock.advance(self.random.choice(PAUSES))

    def _kill(self, victim: int) -> None:
        self.nodes.kill(victim)
        self.alive.remove(victim)
        self.homes.remove(victim)
        for each in self.members:
            if each.device is not None and each.device.box is self.nodes[victim]:
                if self.random.random() < 0.5:
                    each.read()
                each.device = None

    def stall(self) -> None:
        """Cut a node off that has members; its clients go on, and the others may take it for gone before it is back."""
        way = self.nodes.engine.nodes[self.random.choice([each for each in self.homes if each])]
        way.cut()
        left_s = self.random.choice((0.01, 1.0, 5.0, 12.0, 25.0))
        while left_s > 0:
            self.step()
            pause_s = min(left_s, self.random.choice((0.001, 0.5, 2.0)))
            self.nodes.clock.advance(pause_s)
            left_s -= pause_s
        way.restore()

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
        for way in self.flaky:
            way.is_calm = True
        for each in self.members:
            if each.device is None:
                each.connect()
        for _ in range(int(2 * GONE_S)):
            self.nodes.clock.advance(0.5)
            self.read()
        assert self.writer.line.closed is None


def play(seed: int, qos: int, events: Sequence[str], **options: Any) -> Party:
    """Let a party have its steps, with events somewhere among them."""
    party = Party(seed, qos, **options)
    steps = party.random.randint(60, 200)
    moments = {party.random.randint(20, steps - 20): event for event in events}
    for step in range(steps):
        if step in moments:
            getattr(party, moments[step])()
        party.step()
    party.end()
    return party


def check(party: Party) -> None:
    """Demand that everything came, and with QoS 2 once."""
    assert set(party.came) == set(party.sent)
    if party.qos == 2:
        assert party.came == Counter(party.sent)


@pytest.mark.parametrize("kills", [0, 1])
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_and_nothing_of_qos_2_comes_twice(seed: int, qos: int, kills: int) -> None:
    check(play(seed, qos, ["kill"] * kills))


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("seed", range(20))
def test_all_nodes_with_members_are_killed_and_started_again(seed: int, qos: int) -> None:
    check(play(seed, qos, ["kill_all"] * (1 + seed % 2), apart=True))


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("seed", range(20))
def test_a_node_that_others_take_for_gone_comes_back(seed: int, qos: int) -> None:
    check(play(seed, qos, ["stall"] * (1 + seed % 2), apart=True))


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_down_fails_or_is_not_answered(seed: int, qos: int) -> None:
    check(play(seed, qos, ["kill"] if seed % 2 else [], flaky=0.1))
