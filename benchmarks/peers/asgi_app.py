"""The peer of ASGI servers: /echo echoes, any other path broadcasts to all; `uvicorn asgi_app:app --port PORT`."""

from typing import Any

senders: set[Any] = set()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one scope."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    echo = scope["path"] == "/echo"
    if not echo:
        senders.add(send)
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            for target in (send,) if echo else tuple(senders):
                await target({"type": "websocket.send", "text": message.get("text")})
    finally:
        senders.discard(send)
