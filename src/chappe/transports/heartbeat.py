"""Pings and deadlines of all links, in one wheel: no timer of a connection's own."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from chappe.hub.mqtt import MqttClient
from chappe.hub.session import Session
from chappe.hub.session_state import SessionState
from chappe.model.error_codes import Code
from chappe.model.limits import Limits
from chappe.transports.portable import LinkCounters, Receiver

#: Seconds a slot of the wheel stands for: deadlines are kept to the second.
TICK_S: Final = 1.0
#: Links looked at in one turn of the loop: all that are due in one second may be tens of thousands.
SLICE: Final = 500


class BeatingLink(Protocol):
    """What the wheel needs of a link, native or portable; times are the loop's, in seconds.

    Attributes:
        last_heard: of the last bytes of the peer.
        opened_at, pinged_at: of its beginning and of our last ping.
        message_began: of the bytes in which an unfinished message was first seen; 0: none is.
        paused: nothing is read from the peer now, so that its silence says nothing; `last_heard` begins anew behind it.
    """

    paused: bool
    receiver: Receiver | None
    closing: bool
    last_heard: float
    opened_at: float
    pinged_at: float
    message_began: float

    def ping(self) -> None:
        """Send a ping."""

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye."""

    def fail(self, code: int, reason: str) -> None:
        """End because of what the peer does."""

    def abort(self) -> None:
        """Cut the connection; does nothing when it is gone."""


class Heartbeat:
    """Pings links, closes those from which nothing comes, and cuts those that do not end.

    Each link sits in the slot of the second in which it is looked at next, so that a second's work is only what is due;
    that is done in slices between which the loop turns.
    """

    def __init__(self, limits: Limits, counters: LinkCounters, identified_first: bool) -> None:
        """Take the times; `identified_first` closes links whose session says nothing in `handshake_timeout_s`."""
        self._limits = limits
        self._counters = counters
        self._identified_first = identified_first
        self._slots: dict[int, list[BeatingLink]] = {}
        self._endings: dict[int, list[BeatingLink]] = {}
        self._due: list[BeatingLink] = []
        self._overdue: list[BeatingLink] = []
        self._slot = 0
        self._timer: asyncio.Handle | None = None
        self._ticks: Callable[[], float] | None = None

    def start(self) -> None:
        """Begin; needs the running loop."""
        loop = asyncio.get_running_loop()
        self._ticks = loop.time
        self._slot = int(loop.time() / TICK_S)
        self._timer = loop.call_later(TICK_S, self._tick, loop)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in (self._slots, self._endings, self._due, self._overdue):
            waiting.clear()

    def add(self, link: BeatingLink, first_s: float | None = None) -> None:
        """Look after a link until it is closing; `first_s`: when first, if its kind says more than the limits."""
        assert self._ticks is not None
        if first_s is not None:
            self._look_again(link, first_s, self._ticks())
            return
        limits = self._limits
        # Whether it is a stream is not known before its session is there; it is looked at soon enough for both.
        first_s = min(filter(None, (limits.ping_interval_s, limits.sse_heartbeat_s)), default=0.0)
        if self._identified_first:
            first_s = min(first_s, self._limits.handshake_timeout_s)
        self._look_again(link, first_s, self._ticks())

    def end_by(self, link: BeatingLink, in_s: float) -> None:
        """Cut a link that closes but is still there after so many seconds, give or take one."""
        assert self._ticks is not None
        slot = max(int((self._ticks() + in_s) / TICK_S) + 1, self._slot + 1)
        self._endings.setdefault(slot, []).append(link)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        until = int(loop.time() / TICK_S)
        while self._slot <= until:
            self._due += self._slots.pop(self._slot, ())
            self._overdue += self._endings.pop(self._slot, ())
            self._slot += 1
        self._work(loop)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        due, overdue = self._due, self._overdue
        try:
            for _ in range(min(len(overdue), SLICE)):
                overdue.pop().abort()
            for _ in range(min(len(due), SLICE)):
                link = due.pop()
                if not link.closing:
                    self._look_at(link, now)
        finally:
            # Also behind a link that fails, which is the loop's to report: the others are looked at all the same.
            if due or overdue:
                self._timer = loop.call_soon(self._work, loop)
            else:
                self._timer = loop.call_later(TICK_S, self._tick, loop)

    def _look_at(self, link: BeatingLink, now: float) -> None:
        limits = self._limits
        session = link.receiver if isinstance(link.receiver, Session) else None
        if isinstance(link.receiver, MqttClient):
            self._look_at_client(link.receiver, link, now)
            return
        background = session is not None and session.background
        if session is not None and self._is_stale(session, link, now):
            session.close(Code.STALE)
            return
        if link.message_began and now - link.message_began >= limits.message_timeout_s:
            self._counters.message_timeouts += 1
            link.fail(1008, f"a message took more than {limits.message_timeout_s:g} seconds")
            return
        if session is not None and session.peer.carrier == "sse":
            # Nothing ever comes from a reader: what is sent to it keeps proxies from closing, and TCP finds the dead.
            self._ping_when_due(link, now, limits.sse_heartbeat_s)
            return
        if link.paused:
            # Its pongs wait in the socket while a hook keeps its session busy.
            self._look_again(link, limits.pong_timeout_s, now)
            return
        heard, pinged = link.last_heard, link.pinged_at
        if pinged > heard and now - pinged >= limits.pong_timeout_s:
            self._counters.pong_timeouts += 1
            self._end(link, session)
        elif now - heard >= (limits.background_idle_s if background else limits.idle_timeout_s):
            self._counters.idle_timeouts += 1
            self._end(link, session)
        elif pinged > heard:
            self._look_again(link, pinged + limits.pong_timeout_s - now, now)
        else:
            self._ping_when_due(link, now, limits.idle_timeout_s if background else limits.ping_interval_s)

    def _look_at_client(self, client: MqttClient, link: BeatingLink, now: float) -> None:
        """End a client of MQTT that said nothing within its keep alive, or nothing whole; it is not pinged."""
        limits = self._limits
        if link.paused:
            self._look_again(link, limits.pong_timeout_s, now)
            return
        if not client.is_connected:
            # Its keep alive is not known yet, and may be two seconds.
            self._look_again(link, TICK_S, now)
        elif client.unfinished_since and now - client.unfinished_since >= limits.message_timeout_s:
            self._counters.message_timeouts += 1
            client.session.close(Code.BAD_REQUEST_CLOSE, "a packet takes too long")
        elif client.is_silent(now):
            self._counters.idle_timeouts += 1
            client.session.close(Code.NO_PONG, "nothing came within the keep alive")
        else:
            wait_s = client.silence_left_s(now) if client.keep_alive_s else limits.message_timeout_s
            self._look_again(link, min(wait_s, limits.message_timeout_s), now)

    def _is_stale(self, session: Session, link: BeatingLink, now: float) -> bool:
        if not self._identified_first or session.state is not SessionState.NEW:
            return False
        return now - link.opened_at >= self._limits.handshake_timeout_s

    def _ping_when_due(self, link: BeatingLink, now: float, interval_s: float) -> None:
        due = max(link.pinged_at, link.opened_at) + interval_s
        if now < due:
            self._look_again(link, due - now, now)
        elif interval_s > 0:
            link.ping()
            self._look_again(link, self._limits.pong_timeout_s, now)
        else:
            # Without pings the idle limit is all that finds a dead peer.
            self._look_again(link, self._limits.pong_timeout_s, now)

    def _end(self, link: BeatingLink, session: Session | None) -> None:
        if session is not None:
            session.close(Code.NO_PONG)
        else:
            link.close(Code.NO_PONG)

    def _look_again(self, link: BeatingLink, in_s: float, now: float) -> None:
        # Also for the messages that may have begun when it is looked at next.
        began = link.message_began
        in_s = min(in_s, began + self._limits.message_timeout_s - now if began else self._limits.message_timeout_s)
        slot = max(int((now + in_s) / TICK_S) + 1, self._slot + 1)
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [link]
        else:
            waiting.append(link)
