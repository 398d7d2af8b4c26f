"""Pings and deadlines of all links, in one wheel: no timer of a connection's own."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from chappe.hub.session import Session
from chappe.hub.session_state import SessionState
from chappe.model.error_codes import Code
from chappe.model.limits import Limits
from chappe.transports.websocket import LinkCounters, Receiver

#: Seconds a slot of the wheel stands for: deadlines are kept to the second.
TICK_S: Final = 1.0


class BeatingLink(Protocol):
    """What the wheel needs of a link, native or portable; times are the loop's, in seconds.

    Attributes:
        last_heard: of the last bytes of the peer.
        opened_at, pinged_at: of its beginning and of our last ping.
        message_began: of the bytes in which an unfinished message was first seen; 0: none is.
    """

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
    """Pings links, and closes those from which nothing comes.

    Each link sits in the slot of the second in which it is looked at next, so that a second's work is only what is due.
    """

    def __init__(self, limits: Limits, counters: LinkCounters, identified_first: bool) -> None:
        """Take the times; `identified_first` closes links whose session says nothing in `handshake_timeout_s`."""
        self._limits = limits
        self._counters = counters
        self._identified_first = identified_first
        self._slots: dict[int, list[BeatingLink]] = {}
        self._slot = 0
        self._timer: asyncio.TimerHandle | None = None
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
        self._slots.clear()

    def add(self, link: BeatingLink) -> None:
        """Look after a link until it is closing."""
        limits = self._limits
        # Whether it is a stream is not known before its session is there; it is looked at soon enough for both.
        first_s = min(filter(None, (limits.ping_interval_s, limits.sse_heartbeat_s)), default=0.0)
        if self._identified_first:
            first_s = min(first_s, self._limits.handshake_timeout_s)
        self._look_again(link, first_s)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        until = int(now / TICK_S)
        while self._slot <= until:
            for link in self._slots.pop(self._slot, ()):
                if not link.closing:
                    self._look_at(link, now)
            self._slot += 1
        self._timer = loop.call_later(TICK_S, self._tick, loop)

    def _look_at(self, link: BeatingLink, now: float) -> None:
        limits = self._limits
        session = link.receiver if isinstance(link.receiver, Session) else None
        background = session is not None and session.background
        is_unidentified = session is not None and session.state is SessionState.NEW and self._identified_first
        if session is not None and is_unidentified and now - link.opened_at >= limits.handshake_timeout_s:
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
        silent_s = now - link.last_heard
        if link.pinged_at > link.last_heard and now - link.pinged_at >= limits.pong_timeout_s:
            self._counters.pong_timeouts += 1
            self._end(link, session)
        elif silent_s >= (limits.background_idle_s if background else limits.idle_timeout_s):
            self._counters.idle_timeouts += 1
            self._end(link, session)
        elif link.pinged_at > link.last_heard:
            self._look_again(link, link.pinged_at + limits.pong_timeout_s - now)
        else:
            self._ping_when_due(link, now, limits.idle_timeout_s if background else limits.ping_interval_s)

    def _ping_when_due(self, link: BeatingLink, now: float, interval_s: float) -> None:
        due = max(link.pinged_at, link.opened_at) + interval_s
        if now < due:
            self._look_again(link, due - now)
        elif interval_s > 0:
            link.ping()
            self._look_again(link, self._limits.pong_timeout_s)
        else:
            # Without pings the idle limit is all that finds a dead peer.
            self._look_again(link, self._limits.pong_timeout_s)

    def _end(self, link: BeatingLink, session: Session | None) -> None:
        if session is not None:
            session.close(Code.NO_PONG)
        else:
            link.close(Code.NO_PONG)

    def _look_again(self, link: BeatingLink, in_s: float) -> None:
        assert self._ticks is not None
        # Also for the messages that may have begun when it is looked at next.
        if link.message_began:
            in_s = min(in_s, link.message_began + self._limits.message_timeout_s - self._ticks())
        else:
            in_s = min(in_s, self._limits.message_timeout_s)
        slot = max(int((self._ticks() + in_s) / TICK_S) + 1, self._slot + 1)
        self._slots.setdefault(slot, []).append(link)
