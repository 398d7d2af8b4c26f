"""Run as a program: walks the cases of a fuzzing server with `chappe.websocket.connect`, echoing what it is sent.

Args: the server's URL, how many cases at once.
"""

import asyncio
import sys
from typing import Any

from chappe.client.websocket import WebSocketClient, connect
from chappe.model.errors import ChappeError

AGENT = "chappe"
#: Autobahn's largest message, and a byte.
OPTIONS: dict[str, Any] = {"proxy": None, "heartbeat_interval_s": 0, "max_message_bytes": 17 * 1_048_576}


async def count_of(server: str) -> int:
    """Ask how many cases there are."""
    async with connect(f"{server}/getCaseCount", **OPTIONS) as client:
        return int(await client.receive())


async def echo(server: str, case: int) -> None:
    """Run one case; the connection is not dialed again when it ends."""
    ended = asyncio.Event()
    try:
        async with connect(f"{server}/runCase?case={case}&agent={AGENT}", **OPTIONS) as client:
            client.on("disconnected", lambda *_: ended.set())
            echoing = asyncio.create_task(_echo(client))
            await asyncio.wait([echoing, asyncio.create_task(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
            echoing.cancel()
    except ChappeError as error:
        print(f"case {case}: {error}", file=sys.stderr)


async def _echo(client: WebSocketClient) -> None:
    async for message in client:
        await client.send(message)


async def main(server: str, parallelism: int) -> None:
    """Run every case, then have the report written."""
    cases = iter(range(1, await count_of(server) + 1))

    async def walk() -> None:
        for case in cases:
            await echo(server, case)

    await asyncio.gather(*[walk() for _ in range(parallelism)])
    async with connect(f"{server}/updateReports?agent={AGENT}", **OPTIONS) as client:
        await client.wait_connected()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
