"""The peer `websockets`: `python websockets_server.py PORT`."""

import sys
from collections import defaultdict

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

groups: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def handle(connection: ServerConnection) -> None:
    """Serve one connection."""
    path = connection.request.path if connection.request is not None else ""
    if path == "/echo":
        async for message in connection:
            await connection.send(message)
        return
    group = groups[path]
    group.add(connection)
    try:
        async for message in connection:
            broadcast(group, message)
    finally:
        group.discard(connection)


async def main() -> None:
    """Serve for ever."""
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
