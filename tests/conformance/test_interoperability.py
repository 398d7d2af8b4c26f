"""WebSocket clients that others wrote hold the same conversation with a running hub."""

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets

from tests.conformance.running import running

SDK = Path(__file__).resolve().parents[2] / "clients" / "js"
SAID = [
    {"type": "connect", "id": 1, "name": "Élise"},
    {"type": "subscribe", "id": 2, "channel": "news"},
    {"type": "publish", "id": 3, "channel": "news", "data": {"text": "é😀", "more": "x" * 40_000}},
    {"type": "ping", "id": 4},
]
#: Three replies, a publication and a pong.
ANSWERS = 5

NODE = """
const { WebSocket } = require("ws");
const [url, said, answers] = [process.argv[1], JSON.parse(process.argv[2]), Number(process.argv[3])];
const socket = new WebSocket(url, ["chappe.v1"]);
const heard = [];
socket.on("open", () => said.forEach((message) => socket.send(JSON.stringify(message))));
socket.on("message", (data) => {
  heard.push(data.toString());
  if (heard.length === answers) socket.close(1000, "au revoir");
});
socket.on("close", (code) => console.log(JSON.stringify([heard, code])));
"""


async def with_websockets(url: str) -> tuple[list[str], int | None]:
    async with websockets.connect(url, subprotocols=[websockets.Subprotocol("chappe.v1")], proxy=None) as client:
        for message in SAID:
            await client.send(json.dumps(message))
        heard = [str(await client.recv()) for _ in range(ANSWERS)]
        await client.close(1000, "au revoir")
        return heard, client.close_code


async def with_aiohttp(url: str) -> tuple[list[str], int | None]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=["chappe.v1"], compress=15) as client,
    ):
        for message in SAID:
            await client.send_str(json.dumps(message))
        heard = [await client.receive_str() for _ in range(ANSWERS)]
        await client.close(code=1000, message=b"au revoir")
        return heard, client.close_code


async def with_websocket_client(url: str) -> tuple[list[str], int | None]:
    def talk() -> tuple[list[str], int | None]:
        # It ships no types.
        library: Any = importlib.import_module("websocket")
        client = library.create_connection(url, subprotocols=["chappe.v1"], timeout=10)
        for message in SAID:
            client.send(json.dumps(message))
        heard = [client.recv() for _ in range(ANSWERS)]
        client.send_close(1000, b"au revoir")
        _, data = client.recv_data(control_frame=True)
        client.shutdown()
        return heard, int.from_bytes(data[:2])

    return await asyncio.to_thread(talk)


async def with_node(url: str) -> tuple[list[str], int | None]:
    process = await asyncio.create_subprocess_exec(
        *("node", "-e", NODE, url, json.dumps(SAID), str(ANSWERS)), cwd=SDK, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    heard, code = json.loads(output)
    return heard, code


CLIENTS: list[Callable[[str], Awaitable[tuple[list[str], int | None]]]] = [
    with_websockets,
    with_aiohttp,
    with_websocket_client,
    with_node,
]


@pytest.mark.slow
@pytest.mark.parametrize("talk", CLIENTS, ids=["websockets", "aiohttp", "websocket-client", "ws"])
async def test_it_connects_subscribes_publishes_and_says_goodbye(
    talk: Callable[[str], Awaitable[tuple[list[str], int | None]]],
) -> None:
    async with running() as server:
        async with asyncio.timeout(15):
            heard, code = await talk(f"ws://127.0.0.1:{server.port}/ws")
    messages = [json.loads(text) for text in heard]
    assert [message["id"] for message in messages if message["type"] == "reply"] == [1, 2, 3]
    (publication,) = [message for message in messages if message["type"] == "publication"]
    assert publication["data"] == SAID[2]["data"]
    assert publication["from"]["name"] == "Élise"
    assert messages[-1] == {"type": "pong", "id": 4}
    assert code == 1000
