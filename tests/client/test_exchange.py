"""Commands and answers over one connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chappe.client import exchange as module
from chappe.client.errors import ConnectionLost, QueueFull
from chappe.client.exchange import Answer, Exchange
from chappe.client.messages import Codec, Direct, Incoming, Reply
from chappe.client.options import Settings
from chappe.client.websocket_transport import dial
from chappe.model.errors import ChappeError
from tests.client.scripted_hub import ScriptedHub, error, scripted_hub


class Talk:
    """An exchange with its two tasks, as a client owns it."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.pushed: list[Incoming] = []
        self.reader = asyncio.create_task(exchange.read(self.pushed.append))
        self.writer = asyncio.create_task(exchange.write())

    async def over(self) -> BaseException:
        """Wait until the connection is over, and return what the reader says."""
        outcome = await asyncio.gather(self.reader, return_exceptions=True)
        assert isinstance(outcome[0], BaseException)
        return outcome[0]


@asynccontextmanager
async def talk(hub: ScriptedHub) -> AsyncIterator[Talk]:
    connection = await dial(Settings(url=hub.url, subprotocols=("chappe.v1",)))
    talking = Talk(Exchange(connection, Codec("json")))
    try:
        yield talking
    finally:
        await connection.close()
        talking.writer.cancel()
        await asyncio.gather(talking.reader, talking.writer, return_exceptions=True)


async def test_answers_find_their_commands_by_id_in_any_order() -> None:
    async with scripted_hub() as hub:
        held: list[dict[str, object]] = []

        async def answer_backwards(peer: object, command: dict[str, object]) -> bool:
            held.append(command)
            if len(held) == 3:
                for one in reversed(held):
                    await hub.peers[0].send({"type": "reply", "id": one["id"], "offset": one["limit"]})
            return True

        hub.script["history"] = answer_backwards
        async with talk(hub) as talking:
            commands = [{"type": "history", "channel": "news", "limit": number} for number in (7, 8, 9)]
            replies = await asyncio.gather(*map(talking.exchange.request, commands))
            assert [reply.offset for reply in replies] == [7, 8, 9]


async def test_an_error_is_raised_with_all_it_says() -> None:
    async with scripted_hub() as hub:
        hub.script["history"] = lambda peer, command: peer.send(error(command, 106, "slow down", retry=True, limit="x"))
        async with talk(hub) as talking:
            with pytest.raises(ChappeError) as caught:
                async with asyncio.timeout(5):
                    await talking.exchange.request({"type": "history", "channel": "news", "limit": 1})
        assert (caught.value.code, caught.value.reason, caught.value.retry) == (106, "slow down", True)
        assert caught.value.detail == {"limit": "x"}


async def test_an_answer_is_handed_over_before_the_next_message_is_looked_at() -> None:
    order: list[str] = []
    async with scripted_hub() as hub:

        async def answer_and_push(peer: object, command: dict[str, object]) -> bool:
            await hub.peers[0].send({"type": "reply", "id": command["id"]}, {"type": "message", "data": 1})
            return True

        hub.script["rpc"] = answer_and_push
        connection = await dial(Settings(url=hub.url, subprotocols=("chappe.v1",)))
        exchange = Exchange(connection, Codec("json"))
        done = asyncio.Event()

        def pushed(message: Incoming) -> None:
            order.append(type(message).__name__)
            done.set()

        def answered(answer: Answer) -> None:
            order.append(type(answer).__name__)

        tasks = [asyncio.create_task(exchange.read(pushed)), asyncio.create_task(exchange.write())]
        exchange.post({"type": "rpc", "method": "x", "params": {}}, answered)
        await done.wait()
        await connection.close()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [Reply.__name__, Direct.__name__]


async def test_a_lost_connection_answers_all_that_wait_and_takes_nothing_more() -> None:
    async with scripted_hub() as hub:
        hub.script["rpc"] = lambda peer, command: True
        async with talk(hub) as talking:
            calls = [
                asyncio.create_task(talking.exchange.request({"type": "rpc", "method": "x", "params": {}}))
                for _ in range(3)
            ]
            await hub.wait_for("rpc", 3)
            hub.cut()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(outcome, ConnectionLost) for outcome in outcomes)
            assert isinstance(await talking.over(), ConnectionLost)
            with pytest.raises(ConnectionLost):
                talking.exchange.post({"type": "ping"}, lambda answer: None)


async def test_a_cancelled_request_forgets_its_answer() -> None:
    async with scripted_hub() as hub:
        hub.script["rpc"] = lambda peer, command: True
        async with talk(hub) as talking:
            call = asyncio.create_task(talking.exchange.request({"type": "rpc", "method": "x", "params": {}}))
            await hub.wait_for("rpc")
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            await hub.peers[0].send({"type": "reply", "id": 1})
            assert (await talking.exchange.request({"type": "ping"})).id == 2


async def test_a_ping_of_the_hub_is_answered() -> None:
    async with scripted_hub() as hub:
        pongs: list[dict[str, object]] = []
        got = asyncio.Event()

        def count(peer: object, command: dict[str, object]) -> bool:
            pongs.append(command)
            got.set()
            return True

        hub.script["pong"] = count
        async with talk(hub) as talking:
            await talking.exchange.request({"type": "ping"})
            await hub.peers[0].send({"type": "ping"})
            await got.wait()
        assert pongs == [{"type": "pong"}]


@pytest.mark.parametrize("frame", ["no json", b"\x00", '{"type":"publication"}'])
async def test_a_frame_that_is_no_chappe_v1_ends_the_connection_so_that_nothing_goes_missing(
    frame: str | bytes,
) -> None:
    async with scripted_hub() as hub, talk(hub) as talking:
        await talking.exchange.request({"type": "ping"})
        await hub.peers[0].socket.send(frame)
        lost = await talking.over()
        assert isinstance(lost, ConnectionLost)
        assert not lost.final
        assert "no chappe.v1" in lost.reason


async def test_more_commands_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 2)
    async with scripted_hub() as hub:
        hub.script["rpc"] = lambda peer, command: True
        async with talk(hub) as talking:
            for _ in range(2):
                talking.exchange.post({"type": "rpc"}, lambda answer: None)
            with pytest.raises(QueueFull):
                talking.exchange.post({"type": "rpc"}, lambda answer: None)


async def test_what_waits_to_leave_is_waited_for_until_the_connection_is_over() -> None:
    async with scripted_hub() as hub, talk(hub) as talking:
        talking.writer.cancel()
        talking.exchange.post({"type": "publish", "channel": "news", "data": 1}, lambda _: None)
        flushing = asyncio.ensure_future(talking.exchange.flush())
        hub.cut()
        await talking.over()
        async with asyncio.timeout(5):
            await flushing
