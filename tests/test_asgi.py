"""The hub as an ASGI app: mounted, and under servers that are not ours."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

ROOT = Path(__file__).parent.parent
UVICORN = ("uvicorn", "--log-level", "warning", "--port", "{port}")
HYPERCORN = ("hypercorn", "--bind", "127.0.0.1:{port}")


def start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=ROOT)


@contextlib.asynccontextmanager
async def running(server: tuple[str, ...], app: str) -> AsyncIterator[str]:
    """Run an ASGI server as a user would; yield host and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    name, *options = server
    command = [sys.executable, "-m", name, *(option.format(port=port) for option in options), app]
    process = start(command)
    try:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            await asyncio.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def receive(client: websockets.ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(await client.recv())
        if message["type"] == kind:
            return message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "app"),
    [
        (UVICORN, "examples.fastapi_mount:app"),
        (HYPERCORN, "examples.fastapi_mount:app"),
        (UVICORN, "examples.django_mount.asgi:application"),
        (HYPERCORN, "examples.django_mount.asgi:application"),
    ],
    ids=["fastapi-uvicorn", "fastapi-hypercorn", "django-uvicorn", "django-hypercorn"],
)
async def test_a_mounted_hub_serves_every_protocol_and_its_application_publishes(
    server: tuple[str, ...], app: str
) -> None:
    async with running(server, app) as where, httpx.AsyncClient(trust_env=False) as http:
        base = f"ws://{where}/realtime"
        assert (await http.get(f"http://{where}/realtime/healthz")).status_code == 200
        async with (
            websockets.connect(f"{base}/ws", proxy=None) as modern,
            websockets.connect(f"{base}/", proxy=None) as classic,
            websockets.connect(f"{base}/echo", proxy=None) as echo,
        ):
            await modern.send(json.dumps({"type": "subscribe", "id": 1, "channel": "orders"}))
            assert (await receive(modern, "reply"))["channel"] == "orders"
            assert (await http.post(f"http://{where}/orders/7")).json() == {"offset": 1}
            assert (await receive(modern, "publication"))["data"] == {"number": 7}
            await classic.send(json.dumps({"type": "login", "content": "Ada"}))
            assert await receive(classic, "join") == {"type": "join", "username": "Ada"}
            await modern.send(json.dumps({"type": "publish", "id": 2, "channel": "chat/lobby", "data": "hello"}))
            assert (await receive(classic, "message"))["content"] == "hello"
            async with http.stream("GET", f"http://{where}/realtime/events?channel=orders&since=latest") as events:
                assert events.headers["content-type"].startswith("text/event-stream")
                lines = events.aiter_lines()
                while "subscribed" not in await anext(lines):
                    pass
                assert (await http.post(f"http://{where}/orders/8")).json() == {"offset": 2}
                while '"number":8' not in await anext(lines):
                    pass
            begun = (await http.get(f"http://{where}/realtime/poll")).json()
            asked = {"session": begun["session"], "cursor": begun["cursor"]}
            command = {"type": "subscribe", "id": 1, "channel": "orders"}
            sent = await http.post(f"http://{where}/realtime/send", params=asked, content=json.dumps(command))
            assert sent.json()["messages"][0]["offset"] == 2
            waiting = asyncio.create_task(http.get(f"http://{where}/realtime/poll", params=asked))
            await http.post(f"http://{where}/orders/9")
            assert '"number":9' in (await waiting).text
            # A client that goes away while it waits is known to be gone.
            with pytest.raises(httpx.TimeoutException):
                await http.get(f"http://{where}/realtime/poll", params=asked | {"cursor": "1"}, timeout=0.2)
            await http.delete(f"http://{where}/realtime/poll", params=asked)
            assert (await http.get(f"http://{where}/realtime/poll", params=asked)).status_code == 404
            await echo.send(b"\x00\xff")
            assert await echo.recv() == b"\x00\xff"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(f"{base}/nowhere", proxy=None)


async def test_the_lifespan_starts_and_stops_the_hub() -> None:
    import chappe

    hub = chappe.Hub(dev=True)
    calls: list[str] = []
    hub.on_start(lambda: calls.append("start"))
    hub.on_stop(lambda: calls.append("stop"))
    async with hub.lifespan():
        assert calls == ["start"]
        assert (await hub.publish("news", 1)).offset == 1
    assert calls == ["start", "stop"]


async def asgi_status(app: Any, host: str) -> int:
    """Ask an app for its health under a Host; return the status."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=f"http://{host}") as http:
        return (await http.get("/healthz")).status_code


async def test_the_configured_hosts_are_those_answered() -> None:
    import chappe

    for hub, statuses in ((chappe.Hub(dev=True), [200, 421]), (chappe.Hub(), [200, 200])):
        app = hub.asgi()
        assert [await asgi_status(app, host) for host in ("localhost:8000", "evil.example")] == statuses
        await hub.stop()


async def test_a_hub_that_was_stopped_is_not_started_by_a_request() -> None:
    import chappe

    hub = chappe.Hub()
    app = hub.asgi()
    assert await asgi_status(app, "localhost") == 200
    await hub.stop()
    assert await asgi_status(app, "localhost") == 503
    assert not hub.is_started
    await hub.start()
    assert await asgi_status(app, "localhost") == 200
    await hub.stop()


async def test_the_connections_of_a_hub_are_capped_under_another_server() -> None:
    import os

    import chappe
    from chappe.config import load

    flags = {"auth.anonymous": True, "server.connections_max": 1}
    hub = chappe.Hub(settings=load(os.devnull, flags=flags).settings)
    app = hub.asgi()
    scope = {"type": "websocket", "path": "/echo", "headers": [(b"host", b"a")], "client": ("192.0.2.1", 5)}
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def hold() -> Any:
        if said:
            await asyncio.sleep(60)
        return {"type": "websocket.connect"}

    async def connect() -> Any:
        return {"type": "websocket.connect"}

    first = asyncio.create_task(app(scope, hold, send))
    async with asyncio.timeout(2):
        while not said:  # noqa: ASYNC110 - the app tells nobody
            await asyncio.sleep(0.01)
    assert said.pop()["type"] == "websocket.accept"
    await app(dict(scope), connect, send)
    assert said == [{"type": "websocket.close", "code": 1008, "reason": "too many connections"}]
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await hub.stop()
