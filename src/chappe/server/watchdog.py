"""The watchdog: notices that the event loop stands still, and says where."""

import asyncio
import threading
import time

from chappe.telemetry import log_blocked_loop


class Watchdog:
    """A thread that expects the loop to turn.

    Attributes:
        blocked: how often the loop stood still for longer than `limit_s`.
    """

    def __init__(self, limit_s: float) -> None:
        """Take how long the loop may stand still, in seconds."""
        self._limit_s = limit_s
        self._turned_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.blocked = 0

    def start(self) -> None:
        """Watch the running loop."""
        if self._limit_s <= 0:
            return
        self._turn(asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="chappe-watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turned_at = time.monotonic()
        self._timer = loop.call_later(self._limit_s / 4, self._turn, loop)

    def _watch(self, loop_thread: int) -> None:
        told = 0.0
        while not self._stopped.wait(self._limit_s / 4):
            turned_at = self._turned_at
            blocked_s = time.monotonic() - turned_at
            # Once for each time it stands still, however long.
            if blocked_s > self._limit_s and turned_at != told:
                told = turned_at
                self.blocked += 1
                log_blocked_loop(loop_thread, blocked_s)
