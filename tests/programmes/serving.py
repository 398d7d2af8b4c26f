"""Run as a program: a hub for many clients.

python -m tests.programmes.serving              on a free port, which is printed; ends with its standard input
python -m tests.programmes.serving BROKER PORT  on this broker and port, until it is killed

A third argument in JSON changes settings: `{"limits.connections_per_address": 100}`.
"""

import asyncio
import json
import os
import sys

import uvloop

from chappe.app import Hub
from chappe.config import load
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.server.garbage import Garbage
from chappe.serving import Server

#: All clients of a programme come from one address.
LIMITS = {"limits.connections_per_address": 20_000}
OPEN = Namespace(
    name="load",
    level=Level.RECOVERABLE,
    history_count=100_000,
    history_age_s=3_600,
    subscribe=Access.ANONYMOUS,
    publish=Access.ANONYMOUS,
)


async def main(broker: str = "memory://", port: int = 0, changes: str = "{}") -> None:
    """Serve until standard input ends, or for ever on a port that was given."""
    settings = load(os.devnull, flags={"server.dev": True, **LIMITS, **json.loads(changes)}).settings
    server = Server(Hub(settings=settings, namespaces=[OPEN], broker=broker), port=port)
    await server.start()
    # As in a process of its own (`chappe serve`).
    Garbage().settle()
    if port:
        await asyncio.Event().wait()
    print(server.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:4]) if len(sys.argv) > 2 else main())
