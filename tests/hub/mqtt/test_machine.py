"""Whole sessions of several MQTT clients under everything at once, against a ledger of what each is owed.

Clients of both versions come, go, lose their network, take themselves over, are slow to acknowledge, repeat what was
not acknowledged; sessions and messages expire, wills fall due, and the hub is killed. Nothing of the product decides
what is right: `ledger` does, and `phone` keeps the client's half of a session.
"""

from __future__ import annotations

import itertools
import math
import os
from random import Random
from typing import Any, Final

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from chappe.brokers.memory import MemoryBroker
from chappe.hub.mqtt import MqttOptions, MqttService
from chappe.hub.mqtt.adoption import GRACE_S
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import NEVER_EXPIRES, SubscribeFilter
from chappe.testing.fake_clock import FakeClock, FakeTimer
from chappe.testing.faulty_broker import HARMLESS, FaultyBroker
from tests.hub.harness import World, namespace
from tests.hub.mqtt.ledger import Broken, Ledger, Message, Will, Wish
from tests.hub.mqtt.phone import Hold, Outgoing, Phone, publish_of
from tests.hub.mqtt.rig import V3, V5, Box, DurableMemory

TOPICS: Final = ("a", "a/b", "c/d")
FILTERS: Final = ("a", "a/b", "a/#", "+/d", "#", "will/+")
#: Hardly any step takes longer, so that no deadline falls into one.
STEP_S: Final = 55.0
#: Deadlines are counted from the beginning of a step, by the hub from within it.
EDGE_S: Final = 4.0
#: The hub's own limit, for clients that say none.
ROOM: Final = 100

EXAMPLES: Final = int(os.environ.get("CHAPPE_EXAMPLES", "300" if os.environ.get("CI") == "true" else "50"))

wishes = st.builds(Wish, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2))
who = st.integers(0, 3)


class MortalClock(FakeClock):
    """The clock of one life of a hub: what it asked for does not happen after its death."""

    def __init__(self, base: FakeClock) -> None:
        self._base = base
        self.dead = False

    def now(self) -> float:
        return self._base.now()

    def wall_ms(self) -> int:
        return self._base.wall_ms()

    def advance(self, seconds: float = 0.0) -> None:
        self._base.advance(seconds)

    def call_later(self, delay_s: float, callback: Any) -> FakeTimer:
        return self._base.call_later(delay_s, lambda: None if self.dead else callback())


class MqttMachine(RuleBasedStateMachine):
    """Everything at once."""

    @initialize(
        durable=st.sampled_from([True, True, False]),
        late=st.booleans(),
        seed=st.integers(0, 3),
        asked=st.lists(
            st.tuples(st.sampled_from(["a", "a/#", "#"]), wishes, st.sampled_from([1, 2, 5]), st.sampled_from(Hold)),
            min_size=3,
            max_size=3,
        ),
    )
    def begin(self, durable: bool, late: bool, seed: int, asked: list[tuple[str, Wish, int, Hold]]) -> None:
        """Begin with clients that follow something and come back for it."""
        self.base = FakeClock()
        broker: Any = MemoryBroker(self.base, Random(seed).randbytes)
        if late:
            broker = FaultyBroker(broker, self.base, seed, HARMLESS)
        self.durable = durable
        self.broker = DurableMemory(broker) if durable else broker
        self.numbers = itertools.count(1)
        self.ledger = Ledger()
        self.phones = [Phone(f"p{each}", V3 if each == 3 else V5, self.ledger) for each in range(4)]
        self.live()
        self.ledger.now = self.passed = self.base.now()
        for index, (pattern, wish, room, hold) in enumerate(asked, 1):
            self.come(self.phones[index], False, 400, room, hold, None)
            self.look()
            self.subscribe(0, [pattern], wish, self.phones[index])

    def live(self) -> None:
        """Begin a life of the hub."""
        self.box = Box.__new__(Box)
        self.clock = MortalClock(self.base)
        options: Any = {"namespaces": (namespace("default"),), "seed": next(self.numbers)}
        World.__init__(self.box, clock=self.clock, wrap=lambda _: self.broker, **options)
        self.box.service = MqttService(self.box.hub, MqttOptions(sys_interval_s=0))
        self.box.service.sessions.start(lambda: None)
        self.box.settle()

    # --- Steps -------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Let deadlines that are near go by, so that none falls into what is done next."""
        self.pass_until(self.base.now())

    def pass_until(self, moment: float) -> None:
        """Let time pass, one deadline after the other, and stop where none is near."""
        while True:
            now = self.base.now()
            until = moment
            for due in sorted(at for at in self.ledger.deadlines() if at > self.passed):
                # The first that is near, and those right behind it.
                if due <= (max(moment, now) + STEP_S if until == moment else until + EDGE_S):
                    until = max(until, due + EDGE_S)
            if until == moment <= now:
                return
            self.base.advance(max(0.0, until - now))
            self.box.settle()
            self.passed = self.base.now()
            self.ledger.pass_time(self.passed)
            self.look()

    def look(self) -> None:
        """Let everybody read, then demand what is owed."""
        for _ in range(3):
            for phone in self.phones:
                phone.read()
            self.box.settle()
        for phone in self.phones:
            if phone.client_id in self.ledger.accounts:
                phone.check()
        # In a step that took longer than was thought the ledger cannot know what came first; such runs are few.
        assume(not any(self.passed < at <= self.base.now() for at in self.ledger.deadlines()))
        self.ledger.now = self.base.now()

    def connected(self) -> list[Phone]:
        return [phone for phone in self.phones if phone.device is not None]

    def one_of(self, index: int) -> Phone:
        connected = self.connected()
        return connected[index % len(connected)]

    def is_anybody_there(self) -> bool:
        return any(phone.device is not None for phone in self.phones)

    # --- Coming and going --------------------------------------------------------------------------------------------

    @rule(
        index=who,
        clean=st.booleans(),
        expiry_s=st.sampled_from([0, 80, 400, NEVER_EXPIRES]),
        room=st.sampled_from([1, 2, 5, ROOM]),
        hold=st.sampled_from(Hold),
        will=st.none() | st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from([0, 50, 120])),
    )
    def connect(
        self, index: int, clean: bool, expiry_s: int, room: int, hold: Hold, will: tuple[int, bool, int] | None
    ) -> None:
        self.step()
        self.come(self.phones[index], clean, expiry_s, room, hold, will)
        self.look()

    def come(
        self, phone: Phone, clean: bool, expiry_s: int, room: int, hold: Hold, will: tuple[int, bool, int] | None
    ) -> None:
        last_will = None
        if will is not None:
            qos, retain, delay_s = will
            said = Message(next(self.numbers), f"will/{phone.client_id}", b"", qos, retain, phone.client_id)
            said = Message(said.number, said.topic, b"w%d" % said.number, qos, retain, phone.client_id)
            last_will = Will(said, delay_s if phone.version is V5 else 0)
        if phone.version is V5:
            properties = packets.ConnectProperties(session_expiry_s=expiry_s, receive_maximum=room)
            lasts_s = float(min(expiry_s, MqttOptions().session_expiry_max_s))
        else:
            properties, room = packets.NO_CONNECT_PROPERTIES, ROOM
            lasts_s = 0.0 if clean else float(MqttOptions().session_expiry_max_s)
        present = self.ledger.arrive(phone.client_id, clean=clean, lasts_s=lasts_s, will=last_will)
        packet = packets.Connect(
            phone.client_id, phone.version, clean, will=_will_of(last_will, phone), properties=properties
        )
        former = phone.connect(self.box, packet, room, hold)
        if former is not None and former.line.closed is None:
            raise Broken(f"{phone.client_id} has two connections")
        phone.welcomed(present)

    @precondition(is_anybody_there)
    @rule(index=who, with_will=st.booleans(), expiry_s=st.sampled_from([None, None, 0, 80]))
    def disconnect(self, index: int, with_will: bool, expiry_s: int | None) -> None:
        self.step()
        phone = self.one_of(index)
        account = self.ledger.accounts[phone.client_id]
        if phone.version is not V5 or not account.lasts_s:
            expiry_s = None
        with_will = with_will and phone.version is V5
        if expiry_s is not None:
            account.lasts_s = float(expiry_s)
        assert phone.device is not None
        phone.device.goodbye(0x04 if with_will else 0, expiry_s)
        phone.device = None
        self.ledger.leave(phone.client_id, says_will=with_will)
        self.look()

    @precondition(is_anybody_there)
    @rule(index=who)
    def lose(self, index: int) -> None:
        self.step()
        phone = self.one_of(index)
        phone.lose()
        self.ledger.leave(phone.client_id, says_will=True)
        self.look()

    @precondition(lambda self: self.durable)
    @rule()
    def kill(self) -> None:
        self.step()
        self.clock.dead = True
        self.ledger.crash(GRACE_S)
        for phone in self.phones:
            phone.device = None
        self.live()
        self.look()

    @rule(seconds=st.sampled_from([10.0, 60.0, 150.0]))
    def wait(self, seconds: float) -> None:
        self.step()
        self.pass_until(self.base.now() + seconds)

    # --- Filters -----------------------------------------------------------------------------------------------------

    @precondition(is_anybody_there)
    @rule(index=who, patterns=st.lists(st.sampled_from(FILTERS), min_size=1, max_size=2, unique=True), wish=wishes)
    def subscribe(self, index: int, patterns: list[str], wish: Wish, phone: Phone | None = None) -> None:
        self.step()
        phone = phone or self.one_of(index)
        if phone.version is not V5:
            wish = Wish(wish.qos)
        for pattern in patterns:
            self.ledger.subscribe(phone.client_id, pattern, wish)
        filters = tuple(
            SubscribeFilter(pattern, wish.qos, wish.no_local, wish.as_published, wish.handling) for pattern in patterns
        )
        number = phone.next_id()
        phone.send(packets.Subscribe(number, filters))
        phone.read()
        assert packets.Suback(number, (wish.qos,) * len(patterns)) in phone.answers, phone.answers
        self.look()

    @precondition(is_anybody_there)
    @rule(index=who, pattern=st.sampled_from(FILTERS))
    def unsubscribe(self, index: int, pattern: str) -> None:
        self.step()
        phone = self.one_of(index)
        was_there = self.ledger.unsubscribe(phone.client_id, pattern)
        number = phone.next_id()
        phone.send(packets.Unsubscribe(number, (pattern,)))
        phone.read()
        codes = (0 if was_there else 0x11,) if phone.version is V5 else ()
        assert packets.Unsuback(number, codes) in phone.answers
        self.look()

    # --- Messages ----------------------------------------------------------------------------------------------------

    def message(self, phone: Phone, topic: str, qos: int, retain: bool, empty: bool, expiry_s: float) -> Message:
        number = next(self.numbers)
        payload = b"" if empty and retain else b"%d" % number
        expires_at = self.base.now() + expiry_s if phone.version is V5 else math.inf
        return Message(number, topic, payload, qos, retain, phone.client_id, expires_at)

    @precondition(is_anybody_there)
    @rule(
        index=who,
        topic=st.sampled_from(TOPICS),
        qos=st.integers(0, 2),
        retain=st.booleans(),
        empty=st.booleans(),
        expiry_s=st.sampled_from([math.inf, math.inf, 60.0, 200.0]),
        copies=st.integers(1, 2),
        count=st.integers(1, 3),
    )
    def publish(
        self, index: int, topic: str, qos: int, retain: bool, empty: bool, expiry_s: float, copies: int, count: int
    ) -> None:
        """Publish; of QoS 2 perhaps twice before the answer, as a client may that waits for it (3.1.1, 4.4)."""
        self.step()
        phone = self.one_of(index)
        for _ in range(count):
            self.publish_one(phone, self.message(phone, topic, qos, retain, empty, expiry_s), copies)
        self.look()

    @precondition(is_anybody_there)
    @rule(index=who, topic=st.sampled_from(TOPICS), qos=st.integers(1, 2), count=st.integers(2, 3))
    def publish_some(self, index: int, topic: str, qos: int, count: int) -> None:
        """Publish what fills windows."""
        self.publish(index, topic, qos, False, False, math.inf, 1, count)

    @precondition(is_anybody_there)
    @rule(index=who, topic=st.sampled_from(TOPICS), qos=st.integers(1, 2), expiry_s=st.sampled_from([60.0, 200.0]))
    def publish_for_a_while(self, index: int, topic: str, qos: int, expiry_s: float) -> None:
        """Publish what nobody wants later."""
        self.publish(index, topic, qos, False, False, expiry_s, 1, 3)

    def publish_one(self, phone: Phone, message: Message, copies: int) -> None:
        qos = message.qos
        self.ledger.publish(message)
        number = phone.next_id() if qos else 0
        if qos:
            phone.out[number] = Outgoing(message)
        now = self.base.now()
        sent = [
            publish_of(message, number, now, dup=copy > 0, version=phone.version)
            for copy in range(copies if qos == 2 else 1)
        ]
        phone.send(*sent)
        phone.read()
        if qos:
            assert number not in phone.out, "the hub completes what it is sent"

    @precondition(is_anybody_there)
    @rule(
        index=who,
        topic=st.sampled_from(TOPICS),
        qos=st.integers(0, 2),
        retain=st.booleans(),
        stage=st.integers(0, 3),
    )
    def publish_and_lose(self, index: int, topic: str, qos: int, retain: bool, stage: int) -> None:
        """Lose the connection in the middle: before the message, its answer, before or behind PUBREL."""
        self.step()
        phone = self.one_of(index)
        message = self.message(phone, topic, qos, retain, False, math.inf)
        number = phone.next_id() if qos else 0
        if qos:
            phone.out[number] = Outgoing(message, received=stage > 1 and qos == 2, arrived=stage > 0)
        if stage:
            self.ledger.publish(message)
            phone.send(publish_of(message, number, self.base.now(), dup=False, version=phone.version))
        if stage > 2 and qos == 2:
            phone.send(packets.Pubrel(number))
        self.ledger.now = self.base.now()
        phone.lose()
        self.ledger.leave(phone.client_id, says_will=True, unread=True)
        self.look()

    @precondition(is_anybody_there)
    @rule(index=who, hold=st.sampled_from(Hold))
    def hold(self, index: int, hold: Hold) -> None:
        self.one_of(index).hold = hold

    @precondition(is_anybody_there)
    @rule(index=who, count=st.integers(1, 4))
    def release(self, index: int, count: int) -> None:
        self.step()
        self.one_of(index).release(count)
        self.look()

    # --- Steps that go together --------------------------------------------------------------------------------------

    @precondition(is_anybody_there)
    @rule(index=who, other=who, topic=st.sampled_from(TOPICS), expiry_s=st.sampled_from([60.0, 400.0]))
    def outlive(self, index: int, other: int, topic: str, expiry_s: float) -> None:
        """Let messages expire, or not, behind a client that acknowledges late."""
        self.hold(index, Hold.ACKS)
        self.publish(other, topic, 2, False, False, expiry_s, 1, 3)
        self.wait(150.0)
        self.hold(index, Hold.NOTHING)
        self.release(index, 100)

    @precondition(lambda self: self.durable and self.is_anybody_there())
    @rule(index=who, topic=st.sampled_from(TOPICS), qos=st.integers(1, 2), acks=st.booleans())
    def kill_under_way(self, index: int, topic: str, qos: int, acks: bool) -> None:
        """Kill the hub with messages on their way to one that comes back."""
        phone = self.one_of(index)
        self.subscribe(index, [topic if topic in FILTERS else "#"], Wish(2, handling=2))
        self.hold(index, Hold.ACKS if acks else Hold.COMPS)
        self.publish(index + 1, topic, qos, False, False, math.inf, 1, 3)
        self.kill()
        self.connect(self.phones.index(phone), False, 400, 5, Hold.NOTHING, None)

    @rule(index=who, delay_s=st.sampled_from([50, 120]), seconds=st.sampled_from([10.0, 60.0]))
    def blink(self, index: int, delay_s: int, seconds: float) -> None:
        """Lose a client whose will waits, and let it come back before or behind that."""
        phone = self.phones[index]
        self.connect(index, False, 400, 5, Hold.NOTHING, (1, False, delay_s))
        self.lose(self.connected().index(phone))
        self.wait(seconds)
        self.connect(index, False, 400, 5, Hold.NOTHING, None)
        self.wait(150.0)

    @precondition(is_anybody_there)
    @rule(index=who, pattern=st.sampled_from(FILTERS), qos=st.integers(0, 2), handling=st.integers(0, 2))
    def ask_again(self, index: int, pattern: str, qos: int, handling: int) -> None:
        """Subscribe, and again to the same, with something retained."""
        self.publish(index, "a", 1, True, False, math.inf, 1, 1)
        for _ in range(2):
            self.subscribe(index, [pattern], Wish(qos, handling=handling))

    def teardown(self) -> None:
        """Let everybody come back and be patient: then nothing may be left."""
        if not hasattr(self, "phones"):
            return
        self.step()
        for phone in self.phones:
            if phone.client_id in self.ledger.accounts:
                self.come(phone, False, 400, ROOM, Hold.NOTHING, None)
                self.look()
                account = self.ledger.accounts[phone.client_id]
                left = [each for each in account.owed if not each.optional]
                assert not left, f"{phone.client_id} never got {left}"
                assert not account.unacked
                assert not account.taken, "a message of QoS 2 is never released"
                assert not phone.out, "a message of QoS 2 is never completed"
        assert not self.box.errors, self.box.errors


def _will_of(will: Will | None, phone: Phone) -> packets.Will | None:
    if will is None:
        return None
    properties = packets.NO_WILL_PROPERTIES
    if phone.version is V5:
        properties = packets.WillProperties(will_delay_s=int(will.delay_s))
    return packets.Will(will.message.topic, will.message.payload, will.message.qos, will.message.retain, properties)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_client_gets_what_it_is_owed_and_nothing_else() -> None:
    # The same runs each time, unless somebody asks for a number of others.
    chosen = settings(max_examples=EXAMPLES, stateful_step_count=30, derandomize="CHAPPE_EXAMPLES" not in os.environ)
    run_state_machine_as_test(MqttMachine, settings=chosen)
