"""The peer `python-socketio` on uvicorn: `python socketio_server.py PORT`."""

import sys
from typing import Any

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[])


async def echo(session: str, data: Any) -> None:
    """Send back to the sender."""
    await server.emit("echo", data, to=session)


async def broadcast(session: str, data: Any) -> None:
    """Send to all."""
    await server.emit("message", data)


async def publish(session: str, data: Any) -> str:
    """Acknowledge."""
    return "ok"


for event in (echo, broadcast, publish):
    server.on(event.__name__, event)

if __name__ == "__main__":
    uvicorn.run(socketio.ASGIApp(server), host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
