"""Channels, history, recovery and presence under everything at once, against a naive model and the offline checker.

Five people with three protocols come, speak, leave, are cut and come back, while the broker is late, leaves gaps,
fails, is interrupted, loses its epoch, or the whole hub is started again. What each saw goes into a journal; at every
quiet moment the checker judges the journal, and lists of members and histories must be what the model says.
"""

from __future__ import annotations

import itertools
import os
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from chappe.hub.contracts import IDEMPOTENCY_S, Claims
from chappe.hub.hooks import Draft
from chappe.hub.session import Peer, Session
from chappe.model.frame import Frame
from chappe.model.member import Member
from chappe.testing.checker.journal import (
    Ack,
    Attempt,
    Closed,
    Event,
    Failed,
    Place,
    Seen,
    Settled,
    Subscribed,
    Unsubscribed,
)
from chappe.testing.checker.rules import check
from chappe.testing.fake_clock import FakeClock
from chappe.testing.faulty_broker import EVERYTHING, HARMLESS, Faults
from tests.hub.harness import Client, Tokens, World, namespace

LOBBY: Final = "chat/lobby"
CHANNELS: Final = (LOBBY, "short/a", "slow/a")
SHORT: Final = 3
SHORT_AGE_S: Final = 60.0
NAMESPACES: Final = (
    namespace("chat", room=True),
    namespace("short", history_count=SHORT, history_age_s=SHORT_AGE_S),
    namespace("slow"),
)
NONE: Final = Faults()
#: Late beyond every answer that another session's command may get meanwhile.
SLOW: Final = Faults(late=0.9, late_read=0.9, late_s=1.0, gaps=True)

EXAMPLES: Final = int(os.environ.get("CHAPPE_EXAMPLES", "2000" if os.environ.get("CI") == "true" else "50"))


class Person:
    """Somebody who uses the hub and remembers over all connections what an application would.

    Attributes:
        places: last position seen, by channel.
        wanted: channels to subscribe to at every coming back.
        subscribed: channels, and whether joins and leaves are told there.
        members: what presence messages add up to, by channel: (session, user) pairs.
    """

    def __init__(self, machine: HubMachine, number: int, kind: str, user: str | None, name: str) -> None:
        self.machine = machine
        self.number = number
        self.kind = kind
        self.user = user
        self.name = name
        self.places: dict[str, Place] = {}
        self.keyed: list[tuple[str, str, str]] = []
        self.client: Client | None = None
        self.resume = ""
        self.wanted: set[str] = set()
        self.forget()

    def forget(self) -> None:
        """Begin a connection's life anew."""
        self.session = ""
        self.subscribed: dict[str, bool] = {}
        self.members: dict[str, dict[tuple[str, str | None], None]] = {}
        self.asked: dict[int, dict[str, Any]] = {}
        self.order: list[int] = []
        self.answered: list[int] = []
        self.userlists: list[tuple[float, list[str]]] = []
        self.heard: list[str] = []
        self.joined_at: float | None = None

    @property
    def shown(self) -> str:
        """The name others see."""
        return self.user or self.name

    def __repr__(self) -> str:
        return f"<{self.publisher} {self.kind}>"

    @property
    def publisher(self) -> str:
        """What the journal calls this person."""
        return f"p{self.number}"

    def is_asking(self, channel: str) -> bool:
        """Whether an answer is due that may move this person's place in a channel."""
        asked = self.asked.values()
        return any(each.get("channel") == channel and each["type"] in ("subscribe", "unsubscribe") for each in asked)

    def come(self, resume: bool) -> None:
        """Connect; an older connection that is still open is taken over or goes."""
        old = self.client
        handle = self.resume if resume else ""
        if old is not None and not handle:
            self.cut()
        world = self.machine.world
        client = Client(world, self.kind, Peer())
        client.link.on_frame = lambda frame: self.receive(client, frame)
        client.link.on_close = lambda code: self.gone(client)
        if old is not None and handle:
            self.next = client
        else:
            self.forget()
            self.client = client
        if self.kind == "classic":
            client.send({"type": "login", "content": self.name})
            return
        fields: dict[str, Any] = {"name": self.name} if self.user is None else {"token": self.user}
        if handle:
            fields["resume"] = handle
        client.command("connect", **fields)

    def receive(self, client: Client, frame: Frame) -> None:
        """Take a frame as an application would; the hub must not catch what it finds wrong."""
        try:
            self.take(client, frame)
        except (AssertionError, LookupError) as error:
            self.machine.failures.append(error)

    def take(self, client: Client, frame: Frame) -> None:
        if client is not self.client:
            # The newcomer's first word comes after the end of the connection that it took over.
            self.forget()
            self.client = client
        said = client.decode(frame)
        if self.kind == "classic":
            self.receive_classic(said)
        elif said["type"] in ("reply", "error") and "id" in said:
            self.answered.append(said["id"])
            self.receive_answer(said, self.asked.pop(said["id"], {"type": "connect"}))
        else:
            self.receive_push(said)

    def receive_answer(self, said: dict[str, Any], asked: dict[str, Any]) -> None:
        kind, channel = asked["type"], asked.get("channel", "")
        failed = said["type"] == "error"
        if kind == "connect":
            assert not failed, said
            self.resume, self.session = said["resume"], said["session"]
        elif kind == "publish" and failed:
            self.note(Failed(publisher=self.publisher, attempt=asked["attempt"], channel=channel, code=said["code"]))
        elif kind == "publish":
            place = {"epoch": said["epoch"], "offset": said["offset"]}
            self.note(Ack(publisher=self.publisher, attempt=asked["attempt"], channel=channel, **place))
        elif kind == "subscribe" and not failed:
            self.subscribe_answered(said, asked)
        elif kind == "unsubscribe" and not failed:
            self.subscribed.pop(channel, None)
            self.members.pop(channel, None)
            self.note(Unsubscribed(subscriber=self.publisher, channel=channel))
        elif kind == "history" and not failed:
            self.machine.check_history(channel, said)

    def subscribe_answered(self, said: dict[str, Any], asked: dict[str, Any]) -> None:
        channel, since = asked["channel"], asked.get("since")
        self.subscribed[channel] = asked["presence"]
        if not said["recovered"]:
            self.places[channel] = Place(said["epoch"], said["offset"])
        self.note(
            Subscribed(
                subscriber=self.publisher,
                channel=channel,
                epoch=said["epoch"],
                offset=said["offset"],
                since=Place(**since) if isinstance(since, dict) else None,
                recovered=said["recovered"],
                replay=since if isinstance(since, int) else int(since == "latest"),
            )
        )

    def receive_push(self, said: dict[str, Any]) -> None:
        channel = said.get("channel", "")
        match said["type"]:
            case "publication":
                data = said["data"]
                text = data["content"] if isinstance(data, dict) else data
                place = Place(said["epoch"], said["offset"])
                self.places[channel] = place
                self.note(
                    Seen(subscriber=self.publisher, channel=channel, epoch=place.epoch, offset=place.offset, hash=text)
                )
            case "unsubscribed":
                assert said["code"] >= 2500
                del self.subscribed[channel]
                self.members.pop(channel, None)
                self.note(Unsubscribed(subscriber=self.publisher, channel=channel))
            case "presence":
                assert said["count"] == len(said["members"])
                self.members[channel] = {(each["session"], each["user"]): None for each in said["members"]}
            case "join":
                member = (said["member"]["session"], said["member"]["user"])
                assert member not in self.members[channel]
                self.members[channel][member] = None
            case "leave":
                del self.members[channel][said["member"]["session"], said["member"]["user"]]
            case other:
                raise AssertionError(f"unexpected {other}")

    def receive_classic(self, said: dict[str, Any]) -> None:
        now = self.machine.clock.now()
        if said["type"] == "join" and said["username"] == self.name and self.joined_at is None:
            self.joined_at = self.machine.time()
            self.subscribed[LOBBY] = True
        elif said["type"] == "message":
            self.heard.append(said["content"])
        elif said["type"] == "userlist":
            if len(self.userlists) > 1:
                assert now - self.userlists[-1][0] >= 0.1 - 1e-6, "lists of names come too often"
            self.userlists.append((now, said["users"]))

    def command(self, kind: str, **fields: Any) -> None:
        """Send a command."""
        assert self.client is not None
        if kind == "publish":
            self.client._id += 1
            answered = self.client._id
            fields["attempt"] = attempt = self.machine.number()
            self.asked[answered] = {"type": kind, **fields}
            self.order.append(answered)
            expect = fields.get("expect")
            if expect is not None:
                expect = Place(**expect) if isinstance(expect, dict) else Place("", expect)
            self.note(
                Attempt(
                    publisher=self.publisher,
                    attempt=attempt,
                    channel=fields["channel"],
                    hash=fields["data"],
                    key=fields.get("key"),
                    expect=expect,
                )
            )
            del fields["attempt"]
            self.client.send({"type": kind, "id": answered, **fields})
            return
        answered = self.client._id + 1
        self.asked[answered] = {"type": kind, **fields}
        self.order.append(answered)
        self.client.command(kind, **fields)

    def say(self, text: str) -> None:
        """Speak in classic: without an answer, so that the fate is not known."""
        assert self.client is not None
        self.note(Attempt(publisher=self.publisher, attempt=self.machine.number(), channel=LOBBY, hash=text))
        self.client.send({"type": "message", "content": text})

    def cut(self) -> None:
        """Lose the connection; the hub learns it at once."""
        client = self.client
        if client is not None:
            self.gone(client)
            client.cut()

    def gone(self, client: Client) -> None:
        """Learn that the connection is over."""
        if client is not self.client:
            return
        for channel in self.subscribed:
            if self.kind != "classic":
                self.note(Closed(subscriber=self.publisher, channel=channel))
        self.forget()
        self.client = None

    def note(self, event: Event) -> None:
        """Write into the journal."""
        self.machine.note(event)


class HubMachine(RuleBasedStateMachine):
    """The rules."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.journal: list[Event] = []
        self.ticks = 0
        self.numbers = 0
        self.people: list[Person] = []
        self.failures: list[Exception] = []

    @initialize(
        broker=st.sampled_from(["memory", "faulty"]),
        faults=st.sampled_from([NONE, HARMLESS, SLOW, EVERYTHING]),
        seed=st.integers(0, 1 << 16),
    )
    def begin(self, broker: str, faults: Faults, seed: int) -> None:
        self.broker, self.faults, self.seed = broker, faults, seed
        self.start()
        self.people = [
            Person(self, 0, "json", "ada", ""),
            Person(self, 1, "msgpack", "ada", ""),
            Person(self, 2, "json", None, "Blaise"),
            Person(self, 3, "classic", None, "Cyd"),
            Person(self, 4, "msgpack", None, "Dot"),
        ]
        for person in self.people[:4]:
            person.come(False)
        for person in self.people[:2]:
            self.subscribe_since(person, LOBBY)

    def start(self) -> None:
        self.world = World(
            self.broker,
            clock=self.clock,
            faults=self.faults,
            seed=self.seed,
            namespaces=NAMESPACES,
            authenticator=Tokens(ada=Claims(user="ada")),
        )
        self.world.hub.hooks.add_publish("slow/#", self.think)
        self.world.hub.hooks.add_subscribe("slow/#", self.consider)

    async def think(self, session: Session, draft: Draft) -> None:
        # Another time for each, so that a later one would be done first if sessions did not keep their order.
        await self.world.sleep(0.05 * (len(draft.payload) + self.ticks) % 0.3)

    async def consider(self, session: Session, channel: str) -> None:
        await self.world.sleep(0.07 * self.ticks % 0.2)

    # --- The journal -------------------------------------------------------------------------------------------------

    def time(self) -> float:
        self.ticks += 1
        return self.clock.now() + self.ticks * 1e-7

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def note(self, event: Event) -> None:
        self.journal.append(replace(event, time=self.time()))

    # --- What people do ----------------------------------------------------------------------------------------------

    def speakers(self) -> list[Person]:
        return [person for person in self.people if person.client is not None and person.kind != "classic"]

    def speaker(self, who: int) -> Person:
        speakers = self.speakers()
        return speakers[who % len(speakers)]

    who = st.integers(0, 4)
    where = st.sampled_from([LOBBY, *CHANNELS])
    moment = st.sampled_from([0.0, 0.02, 0.05, 0.3, 1.0])

    @rule(who=who, resume=st.booleans(), seconds=moment)
    def come(self, who: int, resume: bool, seconds: float) -> None:
        """Come, or move to another connection, and subscribe again as before."""
        person = self.people[who]
        person.come(resume and person.kind != "classic")
        if person.kind != "classic" and person.client is not None and not resume:
            self.clock.advance(seconds)
            for channel in sorted(person.wanted):
                self.subscribe_since(person, channel)

    @rule(who=who, by=who, channel=where, count=st.integers(0, 3), seconds=moment)
    def blink(self, who: int, by: int, channel: str, count: int, seconds: float) -> None:
        """Be away for a moment in which others speak."""
        person = self.people[who]
        person.cut()
        if count and self.speakers():
            self.publish(by, channel, count, False)
        self.clock.advance(seconds)
        self.come(who, False, 0.0)

    @precondition(lambda self: any(person.client for person in self.people))
    @rule(who=who)
    def vanish(self, who: int) -> None:
        self.people[who].cut()

    @precondition(lambda self: self.speakers())
    @rule(
        who=who,
        channel=where,
        presence=st.booleans(),
        how=st.sampled_from(["since", "since", "now", "latest", "count", "nowhere", "ahead"]),
    )
    def subscribe(self, who: int, channel: str, presence: bool, how: str) -> None:
        person = self.speaker(who)
        place = person.places.get(channel)
        if how == "since":
            self.subscribe_since(person, channel, presence)
            return
        since: Any = {"latest": "latest", "count": 2, "nowhere": {"epoch": "nowhere", "offset": 1}}.get(how)
        if how == "ahead" and place is not None:
            since = {"epoch": place.epoch, "offset": place.offset + 1_000}
        person.wanted.add(channel)
        person.command("subscribe", channel=channel, presence=presence, **({"since": since} if since else {}))

    def subscribe_since(self, person: Person, channel: str, presence: bool = True) -> None:
        # A place that may still move when the command is sent is none to ask from.
        moving = person.is_asking(channel) or channel in person.subscribed
        place = None if moving else person.places.get(channel)
        since = {"since": {"epoch": place.epoch, "offset": place.offset}} if place is not None else {}
        person.wanted.add(channel)
        person.command("subscribe", channel=channel, presence=presence, **since)

    @precondition(lambda self: any(person.subscribed for person in self.speakers()))
    @rule(who=who, where=who, back=st.booleans())
    def unsubscribe(self, who: int, where: int, back: bool) -> None:
        subscribers = [person for person in self.speakers() if person.subscribed]
        person = subscribers[who % len(subscribers)]
        channels = sorted(person.subscribed)
        channel = channels[where % len(channels)]
        person.wanted.discard(channel)
        person.command("unsubscribe", channel=channel)
        if back:
            self.subscribe_since(person, channel)

    @precondition(lambda self: self.speakers())
    @rule(who=who, channel=where, count=st.integers(1, 4), keyed=st.booleans())
    def publish(self, who: int, channel: str, count: int, keyed: bool) -> None:
        person = self.speaker(who)
        for _ in range(count):
            text = f"m{self.number()}"
            if keyed:
                key = f"{person.user or person.session or text}-{text}"
                person.keyed.append((channel, text, key))
                person.command("publish", channel=channel, data=text, key=key)
            else:
                person.command("publish", channel=channel, data=text)

    @precondition(lambda self: len(self.speakers()) > 1)
    @rule(
        who=who,
        channel=where,
        seconds=st.sampled_from([0.0, 0.01, 0.04, 0.4]),
        turns=st.integers(1, 4),
        dies=st.booleans(),
    )
    def subscribe_while_others_speak(self, who: int, channel: str, seconds: float, turns: int, dies: bool) -> None:
        person = self.speaker(who)
        if channel in person.subscribed:
            person.command("unsubscribe", channel=channel)
            self.clock.advance(seconds)
        self.subscribe_since(person, channel)
        if dies and self.world.faulty is not None:
            self.world.faulty.interrupt(seconds)
        for turn in range(turns):
            self.publish(who + 1 + turn, channel, 1, False)
            self.clock.advance(seconds)

    @precondition(lambda self: any(person.keyed for person in self.speakers()))
    @rule(who=who, which=st.integers(0, 9))
    def repeat(self, who: int, which: int) -> None:
        """Publish with a key that was used before; right behind the first or long after."""
        speakers = [person for person in self.speakers() if person.keyed]
        person = speakers[who % len(speakers)]
        channel, text, key = person.keyed[-1 - which % len(person.keyed)]
        if person.user or (person.session and key.startswith(person.session)):
            person.command("publish", channel=channel, data=text, key=key)

    @precondition(lambda self: any(person.places for person in self.speakers()))
    @rule(who=who, where=who, bare=st.booleans(), rivals=st.booleans())
    def compare_and_set(self, who: int, where: int, bare: bool, rivals: bool) -> None:
        speakers = [person for person in self.speakers() if person.places]
        person = speakers[who % len(speakers)]
        channel = sorted(person.places)[where % len(person.places)]
        place = person.places[channel]
        for each in speakers if rivals else [person]:
            expect: Any = place.offset if bare else {"epoch": place.epoch, "offset": place.offset}
            each.command("publish", channel=channel, data=f"m{self.number()}", expect=expect)

    @precondition(lambda self: self.people[3].joined_at is not None)
    @rule()
    def say(self) -> None:
        self.people[3].say(f"m{self.number()}")

    @precondition(lambda self: self.speakers())
    @rule(who=who, channel=where)
    def read(self, who: int, channel: str) -> None:
        self.speaker(who).command("history", channel=channel, limit=1_000)

    # --- What happens ------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 35.0, 70.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.world.faulty is not None)
    @rule(channel=st.one_of(st.none(), where))
    def epoch_ends(self, channel: str | None) -> None:
        assert self.world.faulty is not None
        self.world.faulty.new_epoch(None if channel is None else [channel])

    @precondition(lambda self: self.world.faulty is not None)
    @rule(seconds=st.sampled_from([0.0, 0.04, 0.5]))
    def feed_dies(self, seconds: float) -> None:
        assert self.world.faulty is not None
        self.world.faulty.interrupt(seconds)

    @precondition(lambda self: self.world.faulty is not None)
    @rule(channel=where)
    def storing_fails(self, channel: str) -> None:
        assert self.world.faulty is not None
        self.world.faulty.fail_pending([channel])

    @precondition(lambda self: self.ticks % 16 == 0)
    @rule(seed=st.integers(0, 1 << 16))
    def hub_restarts(self, seed: int) -> None:
        for person in self.people:
            person.cut()
            person.resume = ""
        self.seed = seed
        self.start()

    # --- What must be ------------------------------------------------------------------------------------------------

    @rule()
    def quiet(self) -> None:
        self.settle()
        if self.failures:
            raise self.failures[0]
        assert not self.world.errors
        for person in self.people:
            self.check_answers(person)
            for channel in person.subscribed:
                if person.kind != "classic":
                    self.note(Settled(subscriber=person.publisher, channel=channel))
        self.check_presence()
        self.check_classic(self.people[3])
        findings = check(self.journal)
        assert not findings, "\n".join(map(str, findings))

    def settle(self) -> None:
        """Wait until all is answered, then for more than the latest of a store, its answer and its feed."""
        step_s = 4 * self.faults.late_s + 0.3
        for _ in range(500):
            if not any(person.asked for person in self.people):
                break
            self.clock.advance(step_s)
        for _ in range(3):
            self.clock.advance(step_s)
        self.world.settle()

    def check_answers(self, person: Person) -> None:
        if person.kind != "classic" and person.client is not None:
            assert not person.asked, f"never answered: {person.asked}"
            own = [answered for answered in person.answered if answered in set(person.order)]
            assert own == person.order, "answers keep the order of their commands"

    def check_presence(self) -> None:
        for channel in CHANNELS:
            present = [person for person in self.people if channel in person.subscribed]
            expected = sorted({person.shown if person.user else person.publisher for person in present})
            for person in present:
                if person.kind == "classic":
                    names = sorted({each.shown for each in present}, key=str.casefold)
                    assert person.userlists[-1][1] == names
                elif person.subscribed[channel]:
                    told = sorted(user or self.owner(session) for session, user in person.members[channel])
                    assert told == expected, f"{person.publisher} was told {told} in {channel}, expected {expected}"
            found: list[tuple[list[Member], int]] = []
            self.world.hub.members_of(channel, lambda *listed, found=found: found.append(listed))
            [(members, count)] = found
            assert sorted(each.user or self.owner(each.session) for each in members) == expected
            assert count == len(expected)

    def owner(self, session: str) -> str:
        for person in self.people:
            if person.client is not None and person.client.session.id == session:
                return person.publisher
        return f"nobody's {session}"

    def check_classic(self, person: Person) -> None:
        if person.joined_at is None:
            return
        attempts = {
            (event.publisher, event.attempt): event
            for event in self.journal
            if isinstance(event, Attempt) and event.channel == LOBBY
        }
        said = {event.hash for event in attempts.values()}
        # Who repeats a key after five minutes publishes anew.
        first = {event.hash: event.time for event in reversed(attempts.values())}
        anew = {event.hash for event in attempts.values() if event.time > first[event.hash] + IDEMPOTENCY_S}
        once = [text for text in person.heard if text not in anew]
        assert len(once) == len(set(once)), "nothing is doubled"
        assert set(person.heard) <= said, "nothing is invented"
        acknowledged = [event for event in self.journal if isinstance(event, Ack) and event.channel == LOBBY]
        places: dict[str, set[tuple[str, int]]] = {}
        for ack in acknowledged:
            attempt = attempts[ack.publisher, ack.attempt]
            places.setdefault(attempt.hash, set()).add((ack.epoch, ack.offset))
            if attempt.time > person.joined_at and attempt.key is None:
                assert attempt.hash in person.heard, f"{attempt.hash} was acknowledged and never came"
        # A key repeated in a new epoch gives one text two places.
        heard = [next(iter(places[text])) for text in once if len(places.get(text, ())) == 1]
        assert len({epoch for epoch, _ in heard}) <= 1, "nobody stays through a new epoch unawares"
        for one, other in itertools.pairwise(heard):
            assert one[0] != other[0] or one[1] < other[1], "nothing is reordered"

    def check_history(self, channel: str, page: dict[str, Any]) -> None:
        """A history is an unbroken end of what is known to be stored."""
        offsets = [each["offset"] for each in page["publications"]]
        assert offsets == sorted(set(offsets))
        assert all(each["epoch"] == page["epoch"] for each in page["publications"])
        most = SHORT if channel == "short/a" else 100
        assert len(offsets) <= most
        age_s = SHORT_AGE_S if channel == "short/a" else 600.0
        now = self.clock.now()
        asked = [event for event in self.journal if isinstance(event, Attempt) and event.channel == channel]
        texts = {(event.publisher, event.attempt): event.hash for event in asked}
        first_asked = {event.hash: event.time for event in reversed(asked)}
        first = min(offsets, default=0)
        for ack in self.journal:
            if not isinstance(ack, Ack) or ack.channel != channel or ack.epoch != page["epoch"]:
                continue
            if ack.offset > page["offset"] or ack.offset in offsets:
                continue
            assert ack.offset < first or not offsets, f"{ack.offset} is missing inside {offsets}"
            too_old = first_asked[texts[ack.publisher, ack.attempt]] + age_s <= now
            assert len(offsets) == most or too_old, f"{ack.offset} was trimmed too early"

    def teardown(self) -> None:
        if self.people:
            self.quiet()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_clients_saw_is_what_was_promised() -> None:
    run_state_machine_as_test(HubMachine, settings=settings(max_examples=EXAMPLES, stateful_step_count=40))
