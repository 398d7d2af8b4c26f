"""Links are pinged in time, and those from which nothing comes are closed in time; a second is as fine as it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub.session import Peer
from chappe.model.error_codes import Code
from chappe.model.limits import Limits
from chappe.testing.fake_clock import FakeClock, FakeTimer
from chappe.transports.flush import Flush
from chappe.transports.heartbeat import SLICE, Heartbeat
from chappe.transports.portable import Commons, LinkCounters
from chappe.transports.sse_link import SseLink
from chappe.transports.websocket import WebSocketLink
from tests.hub.harness import World

PING, CLOSE = 0x89, 0x88


class ClockLoop:
    """As much of an event loop as links and their heartbeat use, moved by a fake clock."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.now()

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> FakeTimer:
        return self._clock.call_later(delay, lambda: callback(*args))

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> FakeTimer:
        return self._clock.call_later(0, lambda: callback(*args))


class Wire(asyncio.Transport):
    """Keeps what a link writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Do nothing: the test hands bytes over itself."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.written.append(b"closed")

    def abort(self) -> None:
        self.written.append(b"aborted")

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Rig:
    """Links of a hub under a heartbeat, on a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, identified_first: bool = False, **limits: Any) -> None:
        self.world = World()
        self.clock = self.world.clock
        loop: Any = ClockLoop(self.clock)
        self.loop = loop
        self.limits = Limits(**limits)
        self.counters = LinkCounters()
        self.heartbeat = Heartbeat(self.limits, self.counters, identified_first)
        self.commons = Commons(loop, self.limits, self.counters, Flush(loop), self.heartbeat.end_by, lambda _: None)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        self.heartbeat.start()

    def link(self, session: bool = True) -> tuple[WebSocketLink, Wire]:
        """Return a link; it has a session or, as `/echo`, none."""
        link, wire = WebSocketLink(self.commons), Wire()
        link.attach(wire)
        if session:
            link.receiver = self.world.hub.open(link, self.world.protocol("json"), Peer())
        self.heartbeat.add(link)
        return link, wire

    def said(self, wire: Wire, what: int) -> int:
        return sum(data[:1] == bytes([what]) for data in wire.written)

    def hear(self, link: WebSocketLink) -> None:
        """Let the peer answer with a pong."""
        link.data_received(bytes([0x8A, 0x80, 0, 0, 0, 0]))


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def close_code(wire: Wire) -> int:
    frames = [data for data in wire.written if data[:1] == bytes([CLOSE])]
    return int.from_bytes(frames[0][2:4], "big")


def test_a_link_is_pinged_at_every_interval_and_lives_as_long_as_it_answers(rig: Rig) -> None:
    link, wire = rig.link()
    for count in range(1, 11):
        rig.clock.advance(26)
        assert rig.said(wire, PING) == count
        rig.hear(link)
    assert not link.closing


def test_a_ping_that_is_not_answered_closes_with_3012(rig: Rig) -> None:
    link, wire = rig.link()
    rig.clock.advance(27)
    assert not link.closing
    rig.clock.advance(12)
    assert close_code(wire) == Code.NO_PONG
    assert rig.counters.pong_timeouts == 1
    assert rig.world.hub.sessions == {}


def test_a_peer_that_is_not_read_from_is_not_held_to_answer(rig: Rig) -> None:
    # Its pong waited in the socket while a hook kept its session busy, and it was cut with 3012.
    link, wire = rig.link()
    rig.clock.advance(27)
    link.pause()
    rig.clock.advance(1_000)
    assert not link.closing
    link.resume()
    for _ in range(10):
        rig.clock.advance(5)
        rig.hear(link)
    assert not link.closing
    # Who is dead is found all the same, once it is read again.
    rig.clock.advance(40)
    assert close_code(wire) == Code.NO_PONG


def test_any_bytes_are_a_sign_of_life(rig: Rig) -> None:
    link, _ = rig.link()
    rig.clock.advance(27)
    link.data_received(bytes([0x81, 0x80 | 15, 0, 0, 0, 0]) + b'{"type":"ping"}')
    rig.clock.advance(12)
    assert not link.closing


def test_a_link_without_a_session_is_closed_too(rig: Rig) -> None:
    link, wire = rig.link(session=False)
    rig.clock.advance(40)
    assert link.closing
    assert close_code(wire) == Code.NO_PONG


@pytest.mark.parametrize("seconds", [15.0, 40.0, 0.0])
def test_a_stream_gets_comments_in_its_own_time_and_needs_to_answer_none(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    rig = Rig(monkeypatch, sse_heartbeat_s=seconds)
    link, wire = SseLink(rig.commons), Wire()
    link.attach(wire)
    link.begin(rig.world.hub.open(link, rig.world.protocol("json"), Peer(carrier="sse")))
    rig.heartbeat.add(link)
    for _ in range(3_600):
        rig.clock.advance(1)
    expected = 3_600 / seconds if seconds else 0
    assert expected * 0.85 <= len(wire.written) <= expected
    assert set(wire.written) <= {b"2\r\n:\n\r\n"}
    assert not link.closing


def test_a_session_in_background_is_pinged_rarely(rig: Rig) -> None:
    link, wire = rig.link()
    session = next(iter(rig.world.hub.sessions.values()))
    session.background = True
    rig.clock.advance(290)
    assert rig.said(wire, PING) == 0
    rig.clock.advance(15)
    assert rig.said(wire, PING) == 1
    rig.hear(link)
    rig.clock.advance(200)
    assert not link.closing


def test_without_pings_a_silent_link_is_closed_at_the_idle_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Looked at once and never again: it stayed for ever.
    rig = Rig(monkeypatch, ping_interval_s=0.0, idle_timeout_s=60.0)
    silent, wire = rig.link()
    busy, _ = rig.link()
    for _ in range(6):
        rig.clock.advance(13)
        rig.hear(busy)
    assert rig.said(wire, PING) == 0
    assert silent.closing
    assert not busy.closing
    assert rig.counters.idle_timeouts == 1


def test_who_says_nothing_is_closed_after_the_handshake_time_where_anonymous_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(monkeypatch, identified_first=True)
    _, silent_wire = rig.link()
    named, _ = rig.link()
    named.data_received(_text(b'{"type":"connect","id":1}'))
    rig.clock.advance(12)
    assert close_code(silent_wire) == Code.STALE
    assert not named.closing


def test_where_anonymous_may_nobody_has_to_say_anything(rig: Rig) -> None:
    link, _ = rig.link()
    rig.clock.advance(20)
    assert not link.closing


def test_a_link_that_closed_is_looked_at_no_more(rig: Rig) -> None:
    link, wire = rig.link()
    link.close(Code.DISCONNECTED)
    link.connection_lost(None)
    rig.clock.advance(100)
    assert rig.said(wire, PING) == 0


def test_a_clock_that_jumps_ahead_skips_no_link(rig: Rig) -> None:
    links = [rig.link() for _ in range(3)]
    rig.clock._now += 60
    rig.clock.advance(1)
    assert [rig.said(wire, PING) for _, wire in links] == [1, 1, 1]


def test_a_link_that_does_not_end_is_cut_without_a_timer_of_its_own(rig: Rig) -> None:
    link, wire = rig.link()
    ended, ended_wire = rig.link()
    timers = rig.clock.pending
    for each in (link, ended):
        each.close(Code.DISCONNECTED)
    assert rig.clock.pending == timers
    ended.connection_lost(None)
    rig.clock.advance(4)
    assert b"aborted" not in wire.written
    rig.clock.advance(3)
    assert b"aborted" in wire.written
    assert b"aborted" not in ended_wire.written


def test_many_links_due_in_one_second_let_the_loop_turn(rig: Rig) -> None:
    links = [rig.link(session=False) for _ in range(2 * SLICE + 1)]
    rig.clock.advance(25)
    turns: list[int] = []
    rig.clock._now += 1
    for turn in (rig.heartbeat._tick, rig.heartbeat._work, rig.heartbeat._work):
        turn(rig.loop)
        turns.append(sum(rig.said(wire, PING) for _, wire in links))
    assert turns == [SLICE, 2 * SLICE, 2 * SLICE + 1]


def test_after_its_stop_a_heartbeat_asks_for_nothing(rig: Rig) -> None:
    _, wire = rig.link()
    rig.heartbeat.stop()
    rig.heartbeat.stop()
    rig.clock.advance(100)
    assert wire.written == []


def test_one_timer_serves_all_links(rig: Rig) -> None:
    before = rig.clock.pending
    for _ in range(50):
        rig.link(session=False)
    assert rig.clock.pending == before
    assert isinstance(rig.heartbeat._timer, FakeTimer)


def test_a_link_whose_end_fails_holds_up_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # One timer looks after all links: when it broke off, no link of the server was pinged or closed ever after.
    broken, _ = rig.link()
    _, wire = rig.link()

    def fail() -> None:
        raise MemoryError

    ping = WebSocketLink.ping
    monkeypatch.setattr(WebSocketLink, "ping", lambda link: fail() if link is broken else ping(link))
    for _ in range(30):
        try:
            rig.clock.advance(1)
        except MemoryError:
            # As a loop does: it reports, and runs what was scheduled.
            continue
    assert rig.said(wire, PING) == 1


def test_pongs_that_nobody_reads_are_held_against_their_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten pings a second are allowed, and each is a sign of life: the pongs of who read none of them piled up.
    rig = Rig(monkeypatch, send_queue_bytes=2_000)
    link, _ = rig.link()
    monkeypatch.setattr(Wire, "get_write_buffer_size", lambda wire: sum(map(len, wire.written)))
    link.pause_writing()
    for _ in range(40):
        rig.clock.advance(0.2)
        link.data_received(bytes([0x89, 0x80 | 125]) + bytes(4 + 125))
    assert link.queued_bytes < 2_300
    assert rig.counters.slow_consumers == 1
    assert rig.world.hub.sessions == {}


def _text(payload: bytes) -> bytes:
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload
