"""What a message and an idle session cost: bounds that a change must not pass without somebody deciding it.

Calls of Python functions are counted, which says the same on every machine; benchmarks/hub_path.py measures the time.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.hub.contracts import Claims
from chappe.hub.hub import HubCore, HubOptions
from chappe.hub.namespaces import Namespaces
from chappe.hub.session import Peer, Session
from chappe.model.limits import Limits
from chappe.protocols.chappe import ChappeProtocol, JsonEncoder, MsgpackEncoder
from tests.hub.harness import namespace

#: Calls from a frame to its answer, measured 20, and one to spare.
MOST_CALLS: Final = 21
#: More when somebody listens: the feed, one encoding, one audience; measured 8, and one to spare.
MOST_CALLS_OF_A_FANOUT: Final = 9
#: Bytes of an idle session with one subscription, without its link: measured 1,100; tables that grow by doubling may
#: have just done so, which is what the rest is for.
MOST_BYTES: Final = 1_300
MESSAGES: Final = 200
HISTORY: Final = 100


class NullLink:
    """A link that forgets what it is sent, in C."""

    __slots__ = ()
    send = deque[Any](maxlen=0).append
    queued_bytes = 0

    def close(self, code: int, reason: str = "") -> None:
        """Nothing is open."""

    def limit(self, frame_bytes: int) -> None:
        """Nothing is read."""


class Clock:
    """The time, and timers that never come."""

    now = staticmethod(time.monotonic)

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Clock:
        """Forget it."""
        return self

    def cancel(self) -> None:
        """Forget it again."""


class AnyUser:
    """Takes the token for the user; a claim that expires, as tokens do."""

    def authenticate(self, token: str, wall_s: float) -> Claims:
        """Return whose token it is."""
        return Claims(user=token, expires_at=wall_s + 3_600)


class Rig:
    """A hub with everything that a message passes: tokens, permissions, a rate, history."""

    def __init__(self) -> None:
        clock: Any = Clock()
        self.broker = MemoryBroker(clock, os.urandom)
        self.hub = HubCore(
            HubOptions(
                broker=self.broker,
                clock=clock,
                random=os.urandom,
                spawn=lambda awaitable, done: None,
                log=lambda level, message, *values: None,
                limits=Limits(messages_per_s=1e9, messages_burst=1_000_000_000),
                namespaces=Namespaces([namespace("default", presence=False), namespace("room")]),
                authenticator=AnyUser(),
            )
        )
        self._json = ChappeProtocol(self.hub.limits, JsonEncoder())
        self._msgpack = ChappeProtocol(self.hub.limits, MsgpackEncoder(), msgpack=True)
        self._users = 0
        with pytest.raises(StopIteration):
            self.broker.start(self.hub.delivery).send(None)

    def open(self, channel: str | None = None) -> Session:
        """Open a session of one more user."""
        self._users += 1
        link: Any = NullLink()
        session = self.hub.open(link, self._json, Peer(address="192.0.2.1", token=f"user{self._users}"))
        session.receive(b'{"type":"connect","id":0}', True)
        if channel is not None:
            session.receive(b'{"type":"subscribe","id":1,"channel":"%b"}' % channel.encode(), True)
            assert session.subscribed == 1
        return session


def calls_of(session: Session, frame: bytes) -> float:
    """Return how many Python functions are called from a frame to its answer, when the history is full."""
    for _ in range(HISTORY + 1):
        session.receive(frame, True)
    published = session.hub.counters.published
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        for _ in range(MESSAGES):
            session.receive(frame, True)
    finally:
        sys.setprofile(None)
    assert session.hub.counters.published == published + MESSAGES
    return calls / MESSAGES


def publish(channel: str, data: bytes = b'"hello"') -> bytes:
    return b'{"type":"publish","id":2,"channel":"%b","data":%b}' % (channel.encode(), data)


@pytest.mark.parametrize("data", [b'"hello"', b"7", b'{"text":"hello","to":["everybody"]}'])
def test_a_publication_is_stored_and_acknowledged_in_few_calls(data: bytes) -> None:
    assert calls_of(Rig().open(), publish("a", data)) <= MOST_CALLS


def test_further_subscribers_cost_no_call_of_the_hub() -> None:
    rig = Rig()
    speaker = rig.open("room/a")
    few = calls_of(speaker, publish("room/a"))
    for _ in range(99):
        rig.open("room/a")
    # The text of a time is made once for each millisecond.
    assert calls_of(speaker, publish("room/a")) == pytest.approx(few, abs=1.0)
    assert few <= MOST_CALLS + MOST_CALLS_OF_A_FANOUT


def test_sessions_elsewhere_cost_nothing() -> None:
    rig = Rig()
    speaker = rig.open()
    alone = calls_of(speaker, publish("a"))
    for number in range(100):
        rig.open(f"room/{number}")
    assert calls_of(speaker, publish("a")) == alone


@pytest.mark.slow
@pytest.mark.parametrize("channel", ["a", "room/a"])
def test_an_idle_session_is_small(channel: str) -> None:
    rig = Rig()
    rig.open(channel)
    count = 1_000
    gc.collect()
    tracemalloc.start()
    try:
        sessions = [rig.open(channel) for _ in range(count)]
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert len(sessions) == len(rig.hub.sessions) - 1
    assert each <= MOST_BYTES


def test_a_session_that_ended_is_gone_without_the_garbage_collector() -> None:
    rig = Rig()
    gc.disable()
    try:
        sessions = [rig.open("room/a") for _ in range(50)]
        for session in sessions:
            session.receive(publish("room/a"), True)
            session.receive(publish("b"), True)
        del session
        while sessions:
            sessions.pop().lost(1000)
        left = [each for each in gc.get_objects() if type(each) is Session and each.hub is rig.hub]
    finally:
        gc.enable()
    assert left == []
    assert len(rig.hub.expiry) == 0
