"""Run as a program: newcomers that connect to a hub, ask once and go, until standard input ends.

`python -m tests.programmes.arriving PORT` prints 0 when it begins. Each line it reads names what goes on from then on;
in the end it prints, as JSON, how long each newcomer took that began during what, seconds. It is a process of its own:
what a connection costs a client in Python would be waited for by clients beside it.
"""

import asyncio
import contextlib
import json
import sys
import time
from typing import Final

import uvloop
import websockets

#: Between two newcomers, seconds.
PAUSE_S: Final = 0.25
_PATIENCE_S: Final = 20.0


async def arrive(url: str) -> None:
    """Connect, ask once and go."""
    async with websockets.connect(url, proxy=None, open_timeout=_PATIENCE_S) as client:
        await client.send('{"type":"ping","id":1}')
        await client.recv()


async def main() -> None:
    """Arrive until standard input ends."""
    url = f"ws://127.0.0.1:{int(sys.argv[1])}/ws"
    came_s: dict[str, list[float]] = {}
    now = ""

    async def keep_arriving() -> None:
        while True:
            during, began = now, time.perf_counter()
            try:
                await arrive(url)
            finally:
                # Also of one that still waits in the end.
                came_s.setdefault(during, []).append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_S)

    # What is done for the first time takes longer.
    await arrive(url)
    arriving = asyncio.create_task(keep_arriving())
    print(0, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        now = line.strip()
        if arriving.done():
            break
    arriving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await arriving
    print(json.dumps(came_s), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
