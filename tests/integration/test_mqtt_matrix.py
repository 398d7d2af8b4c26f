"""A publication crosses between MQTT and every other protocol, both ways: text, JSON and binary (F37)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

import aiomqtt
import httpx
import pytest
from httpx_sse import aconnect_sse
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from websockets.asyncio.client import ClientConnection, connect

from chappe.testing import running_hub
from chappe.testing.running import RunningHub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

ROOM: Final = "chat/lobby"
CHANNEL: Final = "matrix/x"
PATIENCE_S: Final = 20.0
BYTES: Final = b"\x00\xff\xfe"

Next = Callable[[], Awaitable[Any]]


class Case(NamedTuple):
    """What is published.

    Attributes:
        payload: the bytes that MQTT publishes and gets.
        value: what protocols with values publish and get.
    """

    payload: bytes
    value: Any


CASES: Final = {
    "text": Case("héllo €".encode(), "héllo €"),
    "json": Case(b'{"n":[1,2]}', {"n": [1, 2]}),
    "binary": Case(BYTES, {"$base64": base64.b64encode(BYTES).decode()}),
}
VERSIONS: Final = {"mqtt3": aiomqtt.ProtocolVersion.V311, "mqtt5": aiomqtt.ProtocolVersion.V5}


@asynccontextmanager
async def mqtt_client(running: RunningHub, version: str) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client("127.0.0.1", running.mqtt_port, protocol=VERSIONS[version]) as client:
        yield client


async def by_mqtt(running: RunningHub, version: str, channel: str, case: str) -> None:
    """Publish by MQTT, with what version 5 can say of the payload."""
    options: dict[str, Any] = {}
    if version == "mqtt5":
        options["properties"] = properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = [("trace", "abc")]
        if case == "json":
            properties.ContentType = "application/json"
        elif case == "text":
            properties.PayloadFormatIndicator = 1
    async with mqtt_client(running, version) as client:
        await client.publish(channel, CASES[case].payload, 1, **options)


# --- Subscribers of other protocols ----------------------------------------------------------------------------------


@asynccontextmanager
async def chappe_v1(running: RunningHub, channel: str) -> AsyncIterator[Next]:
    async with connect(running.ws_url) as socket:
        await socket.send(json.dumps({"type": "subscribe", "id": 1, "channel": channel}))
        assert json.loads(await socket.recv())["type"] == "reply"
        yield lambda: said(socket, "publication")


@asynccontextmanager
async def sse(running: RunningHub, channel: str) -> AsyncIterator[Next]:
    url = f"{running.url}/events?channel={channel}"
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client, aconnect_sse(client, "GET", url) as source:
        events = source.aiter_sse()
        assert (await anext(events)).event == "subscribed"

        async def find() -> Any:
            while True:
                event = await anext(events)
                if event.event == "message":
                    return json.loads(event.data)

        yield find


@asynccontextmanager
async def polling(running: RunningHub, channel: str) -> AsyncIterator[Next]:
    async with httpx.AsyncClient(base_url=running.url, timeout=PATIENCE_S) as client:
        first = (await client.get("/poll")).json()
        session, cursor = first["session"], first["cursor"]
        command = {"type": "subscribe", "id": 1, "channel": channel}
        answer = await client.post("/send", params={"session": session}, json=command)
        assert answer.json()["messages"][0]["type"] == "reply"

        async def find() -> Any:
            nonlocal cursor
            while True:
                answer = await client.get("/poll", params={"session": session, "cursor": cursor, "timeout": 10})
                if answer.status_code == 204:
                    continue
                body = answer.json()
                cursor = body["cursor"]
                found = [each for each in body["messages"] if each["type"] == "publication"]
                if found:
                    return found[0]

        yield find


READERS: Final = {"chappe.v1": chappe_v1, "sse": sse, "polling": polling}


async def said(socket: ClientConnection, kind: str) -> Any:
    """Return the next message of a type; binary ones are returned as they are."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            frame = await socket.recv()
            if isinstance(frame, bytes):
                return frame
            value = json.loads(frame)
            if value["type"] == kind:
                return value


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reader", READERS)
async def test_what_mqtt_publishes_reaches_other_protocols(reader: str, case: str, version: str) -> None:
    async with running_hub(mqtt=True) as running, READERS[reader](running, CHANNEL) as find:
        await by_mqtt(running, version, CHANNEL, case)
        publication = await find()
        assert publication["data"] == CASES[case].value
        assert publication["channel"] == CHANNEL
        assert publication["offset"] > 0
        if version == "mqtt5":
            assert publication["headers"]["trace"] == "abc"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
async def test_what_mqtt_publishes_reaches_the_room(case: str, version: str) -> None:
    async with running_hub(mqtt=True) as running, connect(running.ws_url.replace("/ws", "/")) as socket:
        await socket.send(json.dumps({"type": "login", "content": "Ada"}))
        await said(socket, "userlist")
        await by_mqtt(running, version, ROOM, case)
        message = await said(socket, "message")
        if case == "binary":
            assert message == BYTES
        else:
            assert message["content"] == CASES[case].payload.decode()


# --- Publishers of other protocols -----------------------------------------------------------------------------------


async def publish_chappe_v1(running: RunningHub, channel: str, value: Any) -> None:
    async with connect(running.ws_url) as socket:
        command = {"type": "publish", "id": 1, "channel": channel, "data": value, "headers": {"trace": "abc"}}
        await socket.send(json.dumps(command))
        assert json.loads(await socket.recv())["type"] == "reply"


async def publish_polling(running: RunningHub, channel: str, value: Any) -> None:
    async with httpx.AsyncClient(base_url=running.url) as client:
        session = (await client.get("/poll")).json()["session"]
        command = {"type": "publish", "id": 1, "channel": channel, "data": value, "headers": {"trace": "abc"}}
        answer = await client.post("/send", params={"session": session}, json=command)
        assert answer.json()["messages"][0]["type"] == "reply"


async def publish_beside_a_stream(running: RunningHub, channel: str, value: Any) -> None:
    """Publish by POST in the session of a stream of events."""
    async with httpx.AsyncClient(base_url=running.url, timeout=PATIENCE_S) as client, AsyncExitStack() as stack:
        url = f"/events?channel={channel}"
        source = await stack.enter_async_context(aconnect_sse(client, "GET", url))
        session = json.loads((await anext(source.aiter_sse())).data)["session"]
        command = {"type": "publish", "id": 1, "channel": channel, "data": value, "headers": {"trace": "abc"}}
        answer = await client.post("/send", params={"session": session}, json=command)
        assert answer.json()["messages"][0]["type"] == "reply"


WRITERS: Final = {
    "chappe.v1": publish_chappe_v1,
    "polling": publish_polling,
    "sse": publish_beside_a_stream,
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("qos", [0, 2])
@pytest.mark.parametrize("writer", WRITERS)
async def test_what_other_protocols_publish_reaches_mqtt(writer: str, case: str, qos: int, version: str) -> None:
    async with running_hub(mqtt=True) as running, mqtt_client(running, version) as client:
        await client.subscribe(CHANNEL, qos)
        await WRITERS[writer](running, CHANNEL, CASES[case].value)
        message = await first(client)
        if case == "json":
            # As its publisher wrote it.
            assert json.loads(message.payload) == CASES[case].value
        else:
            assert message.payload == CASES[case].payload
        assert message.qos == qos
        if version == "mqtt5":
            assert message.properties is not None
            assert ("trace", "abc") in message.properties.UserProperty  # type: ignore[attr-defined]
            if case == "json":
                assert message.properties.ContentType == "application/json"  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_said_in_the_room_reaches_mqtt(version: str) -> None:
    async with (
        running_hub(mqtt=True) as running,
        mqtt_client(running, version) as client,
        connect(running.ws_url.replace("/ws", "/")) as socket,
    ):
        await client.subscribe(ROOM, 1)
        await socket.send(json.dumps({"type": "login", "content": "Ada"}))
        await said(socket, "userlist")
        await socket.send(json.dumps({"type": "message", "content": "hi"}))
        message = json.loads((await first(client)).payload)
        assert (message["type"], message["content"], message["username"]) == ("message", "hi", "Ada")
        await socket.send(BYTES)
        assert (await first(client)).payload == BYTES


@pytest.mark.parametrize("one", VERSIONS)
@pytest.mark.parametrize("other", VERSIONS)
@pytest.mark.parametrize("payload", [b'"quoted"', b"", BYTES, b'{"a": 1e999}', "é".encode()])
async def test_between_mqtt_clients_bytes_are_the_same(one: str, other: str, payload: bytes) -> None:
    async with running_hub(mqtt=True) as running, mqtt_client(running, one) as reader:
        await reader.subscribe(CHANNEL, 1)
        options: dict[str, Any] = {}
        if other == "mqtt5":
            options["properties"] = properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = "application/json"
        async with mqtt_client(running, other) as writer:
            await writer.publish(CHANNEL, payload, 1, **options)
        message = await first(reader)
        assert message.payload == payload
        if one == other == "mqtt5":
            assert message.properties is not None
            assert message.properties.ContentType == "application/json"  # type: ignore[attr-defined]
            assert not hasattr(message.properties, "PayloadFormatIndicator")


async def first(client: aiomqtt.Client) -> aiomqtt.Message:
    """Return the next message."""
    async with asyncio.timeout(PATIENCE_S):
        return await anext(aiter(client.messages))
