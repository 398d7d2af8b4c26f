"""The peer `websockets`: /echo echoes, any other path broadcasts to all; `python websockets_server.py PORT`."""

import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

connections: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    """Serve one connection."""
    connections.add(connection)
    try:
        if connection.request is not None and connection.request.path == "/echo":
            async for message in connection:
                await connection.send(message)
        else:
            async for message in connection:
                broadcast(connections, message)
    finally:
        connections.discard(connection)


async def main() -> None:
    """Serve for ever."""
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None) as server:
        await server.serve_forever()


uvloop.run(main())
