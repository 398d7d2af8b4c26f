"""How long requests are parsed before everybody else has a turn: a flood of them must not be all that happens."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

#: Parsing in one turn of the loop, seconds: five heads of the largest size, and the apps that answer them take longer.
TURN_S: Final = 0.0005


class Waiter(Protocol):
    """A connection whose bytes wait."""

    def go_on(self) -> None:
        """Parse what waits."""


class HeadTurns:
    """The time for parsing, shared by the connections of a server.

    Attributes:
        postponed: how often bytes had to wait.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, breathe: Callable[[], None]) -> None:
        """Begin on a loop.

        Args:
            breathe: called between requests: those who ask for little have a turn.
        """
        self._loop = loop
        self._breathe = breathe
        # When this turn's time is over; 0: nothing was parsed in it yet.
        self._until_s = 0.0
        self._waiting: deque[Waiter] = deque()
        self.postponed = 0

    def has_time(self) -> bool:
        """Tell whether something may be parsed in this turn, and nobody came before."""
        now = time.perf_counter()
        if not self._until_s:
            self._until_s = now + TURN_S
            self._loop.call_soon(self._next)
        return now < self._until_s

    def postpone(self, waiter: Waiter) -> None:
        """Let a connection go on in a later turn, behind those that wait."""
        self.postponed += 1
        self._waiting.append(waiter)

    def _next(self) -> None:
        self._until_s = 0.0
        while self._waiting and self.has_time():
            self._waiting.popleft().go_on()
            self._breathe()
