"""A connection that long polling carries."""

import asyncio

import pytest

from chappe.client.errors import ConnectionLost
from chappe.client.options import Settings
from chappe.client.polling import dial
from tests.client.scripted_http import BEGUN, LOST, ok, scripted_http, status


async def test_a_poll_repeats_what_was_not_acknowledged_and_moves_on_with_what_was() -> None:
    async with scripted_http() as http:
        first = ok(b'{"cursor":"1","messages":[{"type":"ping"}]}')
        http.answers["/poll"] = [ok(BEGUN), status(204), LOST, first, ok(b'{"cursor":"2","messages":[]}')]
        http.answers["/poll"].append(ok(b'{"cursor":"3","messages":[1,2]}'))
        connection = await dial(Settings(url=http.url, reconnect_interval_ms=1), 5)
        assert [await connection.receive(), await connection.receive()] == ['[{"type":"ping"}]', "[1,2]"]
        cursors = [target.partition("cursor=")[2] for target, _ in http.requests[1:]]
        assert cursors == ["0", "0", "0", "1", "2"]
        connection.abort("enough")
        with pytest.raises(ConnectionLost, match="enough"):
            await connection.receive()
        await connection.close()
        assert not any(target.startswith("DELETE") for target, _ in http.requests), "a cut says no goodbye"


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with scripted_http() as http:
        connection = await dial(Settings(url=http.url, reconnect_interval_ms=1), 5)
        receiving = asyncio.ensure_future(connection.receive())
        await http.asked(2)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        http.answers["/poll"] = [ok(b'{"cursor":"1","messages":["late"]}')]
        assert await connection.receive() == '["late"]'
        await connection.close()


async def test_no_pong_is_a_timeout_and_a_pong_a_round_trip() -> None:
    async with scripted_http() as http:
        http.answers["/send"] = [ok(b'{"messages":[]}')]
        http.answers["/poll"] = [ok(BEGUN), status(204)]
        connection = await dial(Settings(url=http.url, reconnect_interval_ms=1), 5)
        receiving = asyncio.ensure_future(connection.receive())
        with pytest.raises(TimeoutError):
            await connection.ping(0.1)
        http.answers["/poll"] = [ok(b'{"cursor":"1","messages":[{"type":"pong","id":0}]}')]
        await receiving
        following = asyncio.ensure_future(connection.receive())
        assert (await connection.ping(5) or 0) > 0
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await connection.close()
