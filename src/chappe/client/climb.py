"""While a client is on a lower transport: looks now and then whether a better one gets through."""

import asyncio
import random
from typing import Final

from chappe.client.connection import Connection, Transport
from chappe.client.dialer import dial
from chappe.client.errors import ConnectionLost
from chappe.client.options import Settings
from chappe.client.route import Route
from chappe.model.errors import ChappeError

#: Seconds until the first look, and at most between two: each failure doubles the wait.
FIRST_S: Final = 60.0
MAX_S: Final = 600.0
#: How often it is looked whether we are on another network, where other things get through.
NETWORK_CHECK_S: Final = 1.0


class Climb:
    """The looks of one client, over one connection."""

    def __init__(self, settings: Settings, route: Route) -> None:
        self._settings = settings
        self._route = route
        self._network = route.network()
        self._wait_s = FIRST_S

    async def better(self, transport: Transport) -> Connection:
        """Wait until something better gets through and return it, open and proven to carry in both directions.

        Each call goes on with the longer waits of the one before. Cancelled, it leaves no connection behind.
        """
        while True:
            await self._pause()
            for step in self._route.better_than(transport):
                try:
                    connection = await dial(self._settings, step)
                except ChappeError:
                    continue
                if await self._carries(connection, step.timeout_s):
                    return connection

    async def _carries(self, connection: Connection, timeout_s: float) -> bool:
        """Tell whether bytes go both ways; if not, it is closed. A stream proved that by opening."""
        try:
            if connection.transport == "websocket":
                await connection.ping(timeout_s)
        except (ConnectionLost, TimeoutError):
            await connection.close()
            return False
        except BaseException:
            connection.abort("not needed any more")
            await connection.close()
            raise
        return True

    async def _pause(self) -> None:
        """Wait for the next look, but no longer than until the network is another one."""
        clock = asyncio.get_running_loop()
        # So that clients that fell back together do not come back in step.
        until = clock.time() + self._wait_s * random.uniform(0.75, 1.0)  # noqa: S311 - jitter, no secret
        self._wait_s = min(self._wait_s * 2, MAX_S)
        while (left_s := until - clock.time()) > 0:
            await asyncio.sleep(min(left_s, NETWORK_CHECK_S))
            if (network := self._route.network()) != self._network:
                self._network = network
                self._wait_s = FIRST_S
                return
