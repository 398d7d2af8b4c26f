"""The peer `aiohttp`: `python aiohttp_server.py PORT`."""

import sys
from collections import defaultdict

import uvloop
from aiohttp import web

groups: defaultdict[str, set[web.WebSocketResponse]] = defaultdict(set)


async def handle(request: web.Request) -> web.WebSocketResponse:
    """Serve one connection."""
    connection = web.WebSocketResponse(compress=False)
    await connection.prepare(request)
    if request.path == "/echo":
        async for message in connection:
            await connection.send_str(message.data)
        return connection
    group = groups[request.path]
    group.add(connection)
    try:
        async for message in connection:
            for member in tuple(group):
                await member.send_str(message.data)
    finally:
        group.discard(connection)
    return connection


def main() -> None:
    """Serve for ever."""
    uvloop.install()
    application = web.Application()
    application.add_routes([web.get("/{path:.*}", handle)])
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
