"""When a client asks its server for a sign of life, and what it does when there is none."""

import asyncio
from contextlib import suppress
from typing import Final

from chappe.client.connection import Connection
from chappe.client.errors import ConnectionLost
from chappe.client.events import Events
from chappe.client.options import Settings

#: Seconds between pings while nobody looks, and for a phone in somebody's hand (interfaces, "Times and sizes").
BACKGROUND_S: Final = 300.0
MOBILE_S: Final = 60.0


class Heartbeat:
    """Pings at intervals; cuts a connection whose peer says nothing, not even pong. Tells `latency(ms)`."""

    def __init__(self, settings: Settings, events: Events) -> None:
        self._settings = settings
        self._events = events
        self._background = False
        self._changed = asyncio.Event()

    @property
    def background(self) -> bool:
        """Tell whether nobody looks."""
        return self._background

    @background.setter
    def background(self, on: bool) -> None:
        self._background = on
        self._changed.set()

    @property
    def interval_s(self) -> float:
        """Return the seconds between pings; 0: there are none."""
        if not self._settings.heartbeat_interval_s:
            return 0.0
        if self._background:
            return BACKGROUND_S
        return MOBILE_S if self._settings.heartbeat == "mobile" else self._settings.heartbeat_interval_s

    async def run(self, connection: Connection) -> None:
        """Beat until the connection is over.

        A mobile client counts from the last message it received, so that a busy channel needs no pings: each would
        keep the radio awake.
        """
        if self._settings.heartbeat == "mobile":
            await self._pause(connection)
        while True:
            if not await self._beat(connection):
                return
            await self._pause(connection)

    async def _beat(self, connection: Connection) -> bool:
        timeout_s = self._settings.pong_timeout_s
        begin = asyncio.get_running_loop().time()
        try:
            latency_s = await connection.ping(timeout_s)
        except TimeoutError:
            if connection.heard_at > begin:
                # The ping stands in line behind what a slow network carries: a new connection would begin it again.
                return True
            connection.abort(f"no pong within {timeout_s:g} s")
            return False
        except ConnectionLost:
            return False
        if latency_s is not None:
            self._events.emit("latency", latency_s * 1000)
        return True

    async def _pause(self, connection: Connection) -> None:
        clock = asyncio.get_running_loop()
        beaten_at = clock.time()
        while True:
            since = connection.heard_at if self._settings.heartbeat == "mobile" else beaten_at
            wait_s = since + self.interval_s - clock.time()
            if wait_s <= 0:
                return
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
