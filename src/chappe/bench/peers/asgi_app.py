"""The peer of ASGI servers: `uvicorn asgi_app:app --port PORT`."""

from collections import defaultdict
from typing import Any

groups: defaultdict[str, set[Any]] = defaultdict(set)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one scope."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    echo = scope["path"] == "/echo"
    group = groups[scope["path"]]
    if not echo:
        group.add(send)
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            for target in (send,) if echo else tuple(group):
                await target({"type": "websocket.send", "text": message.get("text")})
    finally:
        group.discard(send)
