"""Measure what the hub itself costs, without sockets: null links, the broker in memory, one thread.

    python benchmarks/hub_path.py                everything (about 15 seconds)
    python benchmarks/hub_path.py --rounds 20    shorter

Each figure is the best of many short rounds, in CPU time: other programs on the machine only ever add to it.
"""

import argparse
import asyncio
import gc
import itertools
import os
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import jwt

from chappe.auth.jwt import JwtAuthenticator, JwtOptions
from chappe.brokers.memory import MemoryBroker
from chappe.hub.hub import HubCore, HubOptions
from chappe.hub.namespaces import Access, Level, Namespace, Namespaces
from chappe.hub.session import Peer, Session
from chappe.model.limits import Limits
from chappe.protocols.chappe import ChappeProtocol, JsonEncoder
from chappe.transports.event_loop import LoopClock

SECRET: Final = b"0123456789abcdef0123456789abcdef"
SUBSCRIBE: Final = b'{"type":"subscribe","id":1,"channel":"%b"}'
PUBLISH: Final = b'{"type":"publish","id":%d,"channel":"%b","data":"%b"}'
TEXT: Final = b"x" * 64
Measure = Callable[[], tuple[int, Callable[[], None]]]


class NullLink:
    """A link whose `send` costs what a call into C costs; what is sent is forgotten."""

    __slots__ = ()
    send = deque[Any](maxlen=0).append
    queued_bytes = 0

    def close(self, code: int, reason: str = "") -> None:
        """Nothing is open."""

    def pause(self) -> None:
        """Nothing is read."""

    def resume(self) -> None:
        """Nothing is read."""

    def limit(self, frame_bytes: int) -> None:
        """Nothing is read."""

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Alive."""
        done(True)


class Rig:
    """A hub as `chappe serve` makes it: tokens, permissions, limits, history in memory."""

    def __init__(self) -> None:
        clock = LoopClock()
        self.broker = MemoryBroker(clock, os.urandom)
        self.hub = HubCore(
            HubOptions(
                broker=self.broker,
                clock=clock,
                random=os.urandom,
                spawn=lambda awaitable, done: None,
                log=lambda level, message, *values: None,
                limits=Limits(messages_per_s=1e9, messages_burst=1_000_000_000),
                namespaces=Namespaces([_namespace("default"), _namespace("room", presence=True)]),
                authenticator=JwtAuthenticator(JwtOptions(algorithms=["HS256"], hmac_secret=SECRET)),
            )
        )
        self._protocol = ChappeProtocol(self.hub.limits, JsonEncoder())
        self._opened = 0
        self._tokens: list[str] = []
        self.reserve(1_000)

    def reserve(self, count: int) -> None:
        """Make tokens of so many users, who come again and again."""
        self._tokens = [token(f"user{number}") for number in range(count)]

    async def start(self) -> None:
        """Start the broker."""
        await self.broker.start(self.hub.delivery)

    def open(self, *channels: bytes) -> Session:
        """Open a session with a token and subscribe it."""
        # Tokens come from the socket: each is a text of its own.
        bearer = self._tokens[self._opened % len(self._tokens)].encode().decode()
        self._opened += 1
        peer = Peer(address="127.0.0.1", token=bearer)
        session = self.hub.open(NullLink(), self._protocol, peer)  # type: ignore[arg-type]
        session.receive(b'{"type":"connect","id":0}', True)
        for channel in channels:
            session.receive(SUBSCRIBE % channel, True)
        assert session.is_open
        assert session.subscribed == len(channels)
        return session


def token(user: str) -> str:
    """Return a token of a user."""
    claims = {"sub": user, "aud": "chappe", "exp": int(time.time()) + 3_600}
    return jwt.encode(claims, SECRET, "HS256")


def _namespace(name: str, presence: bool = False) -> Namespace:
    return Namespace(
        name=name,
        level=Level.RECOVERABLE,
        history_count=100,
        history_age_s=600.0,
        presence=presence,
        subscribe=Access.USER,
        publish=Access.USER,
    )


def _speak(sessions: list[Session], channels: list[bytes], count: int) -> Callable[[], None]:
    frames = [PUBLISH % (number, channels[number % len(channels)], TEXT) for number in range(count)]
    turns = list(zip(itertools.cycle(sessions), frames, strict=False))

    def run() -> None:
        for session, frame in turns:
            session.receive(frame, True)

    return run


def publish(rig: Rig) -> tuple[int, Callable[[], None]]:
    """A hundred publishers in one channel without subscribers."""
    return 2_000, _speak([rig.open() for _ in range(100)], [b"bench"], 2_000)


def publish_many(rig: Rig) -> tuple[int, Callable[[], None]]:
    """The same over a thousand channels."""
    channels = [b"many/%d" % number for number in range(1_000)]
    return 2_000, _speak([rig.open() for _ in range(100)], channels, 2_000)


def fanout(rig: Rig) -> tuple[int, Callable[[], None]]:
    """One publisher, a thousand subscribers."""
    for _ in range(1_000):
        rig.open(b"wide")
    return 200, _speak([rig.open()], [b"wide"], 200)


def rooms(rig: Rig) -> tuple[int, Callable[[], None]]:
    """A hundred rooms of ten, everybody speaks in turn."""
    channels = [b"place/%d" % number for number in range(100)]
    sessions = [rig.open(channels[number % 100]) for number in range(1_000)]
    return 2_000, _speak(sessions, channels, 2_000)


def connect(rig: Rig) -> tuple[int, Callable[[], None]]:
    """Open, verify an HS256 token, connect, subscribe, forget."""
    rig.open(b"lobby")

    def run() -> None:
        for _ in range(200):
            rig.open(b"lobby").lost(1001)

    return 200, run


def verify(rig: Rig) -> tuple[int, Callable[[], None]]:
    """The token alone."""
    authenticator, now = rig.hub.authenticator, time.time()
    tokens = [token(f"user{number}") for number in range(1_000)]
    assert authenticator is not None

    def run() -> None:
        for each in tokens:
            authenticator.authenticate(each, now)

    return len(tokens), run


def best(count: int, run: Callable[[], None], rounds: int) -> float:
    """Return the microseconds of one operation."""
    run()
    seconds = []
    gc.collect()
    for _ in range(rounds):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds) / count * 1e6


def idle_bytes(rig: Rig, channel: bytes, count: int = 20_000) -> dict[str, float]:
    """Return what one idle session with one subscription takes, by Python's allocator and as the kernel sees it."""
    rig.reserve(count)
    rig.open(channel)
    links = len(rig.hub.sessions)
    gc.collect()
    resident = _resident_bytes()
    sessions = [rig.open(channel) for _ in range(count)]
    gc.collect()
    grown = (_resident_bytes() - resident) / count
    for session in sessions:
        session.lost(1001)
    sessions.clear()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sessions += [rig.open(channel) for _ in range(count)]
    gc.collect()
    traced = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    assert len(rig.hub.sessions) == links + count
    return {"traced": traced, "resident": grown}


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _rows(rounds: int) -> Iterator[tuple[str, str]]:
    for title, measure in (
        ("P3 publish + ack, 100 publishers, one channel", publish),
        ("   publish + ack, 100 publishers, 1,000 channels", publish_many),
        ("P2 publish to 1,000 null links", fanout),
        ("P4 publish in a room of 10, everybody speaks", rooms),
        ("P11 open + HS256 + connect + subscribe + forget", connect),
        ("    HS256 alone", verify),
    ):
        yield title, f"{best(*_in_loop(measure), rounds):8.2f} us"
    for title, channel in (("P8 idle session, one subscription", b"idle"), ("   the same with presence", b"room/idle")):
        bytes_ = _in_loop(lambda rig, channel=channel: idle_bytes(rig, channel))
        yield title, f"{bytes_['traced']:8.0f} B   ({bytes_['resident']:.0f} B resident, its token text included)"


def _in_loop(measure: Callable[[Rig], Any]) -> Any:
    rig = Rig()
    loop.run_until_complete(rig.start())
    # The clock asks for the running loop once.
    asyncio.events._set_running_loop(loop)
    try:
        return measure(rig)
    finally:
        asyncio.events._set_running_loop(None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    loop = asyncio.new_event_loop()
    for row, figure in _rows(arguments.rounds):
        print(f"{row:<52}{figure}", flush=True)
