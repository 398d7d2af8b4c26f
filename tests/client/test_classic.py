"""The classic client, against a room written from the protocol's description alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from chappe.client import classic
from chappe.client.classic import ClassicClient, Message
from chappe.client.errors import ClientClosed, ConnectionLost
from chappe.model.errors import ChappeError, LocalProtocolError
from chappe.testing.fault_proxy import FaultProxy
from tests.client.recorder import Recorder

EVENTS = ("join", "leave", "userlist", "binary")


class Room:
    def __init__(self) -> None:
        self.members: dict[ServerConnection, str] = {}
        self.received: list[dict[str, Any]] = []
        self.url = ""
        self.server: Server | None = None
        self.refuse: dict[str, Any] | None = None

    async def tell(self, message: dict[str, Any]) -> None:
        for socket in tuple(self.members):
            await socket.send(json.dumps(message))

    async def serve(self, socket: ServerConnection) -> None:
        try:
            async for frame in socket:
                await self.take(socket, frame)
        finally:
            name = self.members.pop(socket, None)
            if name is not None:
                await self.tell({"type": "leave", "username": name})
                await self.tell({"type": "userlist", "users": list(self.members.values())})

    async def take(self, socket: ServerConnection, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            for other in set(self.members) - {socket}:
                await other.send(frame)
            return
        message = json.loads(frame)
        self.received.append(message)
        if message["type"] == "login":
            await self.login(socket, message)
        elif message["type"] == "message":
            said = {"type": "message", "content": message["content"], "username": self.members[socket]}
            await self.tell(said | {"timestamp": "2026-11-22 12:00:00"})
        elif message["type"] == "userlist":
            await socket.send(json.dumps({"type": "userlist", "users": list(self.members.values())}))

    async def login(self, socket: ServerConnection, message: dict[str, Any]) -> None:
        if self.refuse is not None:
            await socket.send(json.dumps(self.refuse))
            return
        if message["content"].lower() in map(str.lower, self.members.values()):
            await socket.send(json.dumps({"type": "error", "content": "name in use", "code": 115}))
            await socket.close(4509)
            return
        self.members[socket] = message["content"]
        await self.tell({"type": "join", "username": message["content"]})
        await self.tell({"type": "userlist", "users": list(self.members.values())})

    def cut(self) -> None:
        for socket in tuple(self.members):
            socket.transport.abort()


@asynccontextmanager
async def room() -> AsyncIterator[Room]:
    made = Room()
    async with serve(
        made.serve, "127.0.0.1", 0, select_subprotocol=lambda *_: None, ping_interval=None, close_timeout=1
    ) as server:
        made.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        yield made


def client_of(made: Room, name: str) -> ClassicClient:
    return classic.connect(made.url, name, reconnect_interval_ms=5, reconnect_max_ms=20)


async def test_members_see_each_other_come_speak_and_go() -> None:
    async with room() as made, client_of(made, "Ada") as ada:
        events = Recorder(ada, *EVENTS)
        async with client_of(made, "Blaise") as blaise:
            assert await events.wait("join") == ("Blaise",)
            await events.wait("userlist", 1)
            await blaise.send("hello")
            expected = Message("hello", "Blaise", "2026-11-22 12:00:00")
            assert await ada.receive() == expected
            async for message in blaise:
                assert message == expected, "the sender gets it too"
                break
            assert blaise.name == "Blaise"
        assert await events.wait("leave") == ("Blaise",)
        await events.wait("userlist", 2)
        assert ada.users == ("Ada",)


async def test_bytes_go_to_everybody_else() -> None:
    async with room() as made, client_of(made, "Ada") as ada, client_of(made, "Blaise") as blaise:
        await ada.send_bytes(b"\x00\xff")
        assert await blaise.receive() == b"\x00\xff"


async def test_a_name_in_use_is_raised_with_its_code() -> None:
    async with room() as made, client_of(made, "Ada"):
        with pytest.raises(ChappeError, match="name in use") as caught:
            await client_of(made, "ADA")
        assert caught.value.code == 115


@pytest.mark.slow
async def test_who_waits_for_a_batch_to_leave_learns_that_the_connection_went() -> None:
    async with room() as made, FaultProxy("127.0.0.1", urlsplit(made.url).port or 0) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/"
        async with classic.connect(url, "Ada", batch_ms=60_000, batch_max=2) as ada:
            sent = 0

            async def send() -> None:
                nonlocal sent
                while True:
                    await ada.send("x" * 10_000)
                    sent += 1

            proxy.stall()
            sending = asyncio.ensure_future(send())
            before = -1
            while sent > before:
                before = sent
                await asyncio.sleep(0.05)
            proxy.reset()
            with pytest.raises(ConnectionLost):
                async with asyncio.timeout(5):
                    await sending


async def test_after_a_cut_the_login_is_repeated() -> None:
    async with room() as made, client_of(made, "Ada") as ada:
        events = Recorder(ada, *EVENTS)
        made.cut()
        await events.wait("disconnected")
        assert ada.users == ()
        with pytest.raises(ConnectionLost, match="nothing was sent"):
            await ada.send("lost")
        await events.wait("connected")
        await ada.send("back")
        message = await ada.receive()
        assert isinstance(message, Message)
        assert message.content == "back"
        assert [one["type"] for one in made.received] == ["login", "login", "message"]


async def test_a_refusal_that_may_pass_is_tried_again_after_a_cut() -> None:
    async with room() as made, client_of(made, "Ada") as ada:
        events = Recorder(ada, *EVENTS)
        made.refuse = {"type": "error", "content": "too many requests", "code": 111}
        made.cut()
        await events.wait("reconnecting", 2)
        made.refuse = None
        await events.wait("connected")


async def test_an_error_after_the_login_is_an_event_and_the_connection_stays() -> None:
    async with room() as made, client_of(made, "Ada") as ada:
        events = Recorder(ada, *EVENTS)
        await made.tell({"type": "error", "content": "Message trop volumineux", "code": 113})
        (told,) = await events.wait("error")
        assert (told.code, told.reason) == (113, "Message trop volumineux")
        assert ada.state == "live"


async def test_what_is_not_understood_is_passed_over() -> None:
    async with room() as made, client_of(made, "Ada") as ada:
        for socket in made.members:
            await socket.send("no json")
            await socket.send("[1]")
        await made.tell({"type": "weather"})
        await made.tell({"type": "message"})
        await made.tell({"type": "ping"})
        await ada.send("hello")
        message = await ada.receive()
        assert isinstance(message, Message)
        assert message.content == "hello"
        assert "pong" in [one["type"] for one in made.received]


async def test_a_message_the_hub_would_drop_is_refused_here() -> None:
    async with room() as made, client_of(made, "Ada") as ada:
        with pytest.raises(ChappeError) as caught:
            await ada.send("x" * 10_240)
        assert caught.value.code == 113
        await ada.refresh_users()
        await ada.send("x" * 10_000)
        assert len(str(await ada.receive())) > 10_000


async def test_a_token_and_a_room_go_with_the_login() -> None:
    async with room() as made, classic.connect(made.url, "  Ada ", room="chat/b12", token=lambda: "t"):
        assert made.received[0] == {
            "type": "login",
            "content": "Ada",
            "username": "Ada",
            "room": "chat/b12",
            "token": "t",
        }


async def test_listeners_alone_need_no_queue_and_closing_ends_the_loop() -> None:
    async with room() as made:
        ada = await classic.connect(made.url, "Ada", queue_size=1)
        done = asyncio.Event()
        said: list[str] = []

        def listen(message: Message) -> None:
            said.append(message.content)
            if len(said) == 5:
                done.set()

        ada.on("message", listen)
        for number in range(5):
            await ada.send(str(number))
        await done.wait()
        ada.off("message", listen)
        await ada.close()
        await ada.wait_closed()
        assert isinstance(ada.error, ClientClosed)
        assert [message async for message in ada] == []
        with pytest.raises(ClientClosed):
            await ada.send("late")


def test_an_empty_name_is_refused_at_once() -> None:
    with pytest.raises(LocalProtocolError, match="the name is empty"):
        classic.connect("ws://127.0.0.1:1/", "  ")


async def test_redialing_does_not_wait() -> None:
    async with room() as made, classic.connect(made.url, "Ada", reconnect_interval_ms=60_000, jitter="none") as ada:
        events = Recorder(ada, *EVENTS)
        made.cut()
        await events.wait("reconnecting")
        ada.redial()
        await events.wait("connected")
