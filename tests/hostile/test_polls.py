"""Hostile polls and POSTs over real sockets: a clear coded error each, and no neighbour notices."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.hostile.neighbourhood import Place, healthy_neighbour
from tests.protocols.vectors import load, title


def client(place: Place) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{place.port}", timeout=20, trust_env=False)


def malformed() -> list[Any]:
    """Return the vectors that are answered by errors only."""
    return [
        pytest.param(vector, id=title(vector))
        for vector in load("chappe.v1.commands.json")
        if "json" in vector and vector["commands"] and all("error" in command for command in vector["commands"])
    ]


@pytest.mark.parametrize("vector", malformed())
async def test_every_malformed_message_of_the_vectors_is_answered_in_its_post(
    place: Place, vector: dict[str, Any]
) -> None:
    async with healthy_neighbour(place), client(place) as http:
        session = (await http.get("/poll")).json()["session"]
        answer = await http.post("/send", params={"session": session}, content=vector["json"].encode())
        told = [(each["code"], each.get("id")) for each in answer.json()["messages"]]
        assert told == [(command["error"]["code"], command["error"]["id"]) for command in vector["commands"]]
        alive = await http.post("/send", params={"session": session}, content=b'{"type":"ping","id":9}')
        assert alive.json() == {"messages": [{"type": "pong", "id": 9}]}
        await http.delete("/poll", params={"session": session})


REQUESTS: dict[str, str] = {
    "a session of control characters": "GET /poll?session=%00%0d%0a HTTP/1.1",
    "a session of 8 KB": "GET /poll?session=" + "a" * 8_000 + " HTTP/1.1",
    "a cursor of 8,000 digits": "GET /poll?cursor=" + "9" * 8_000 + " HTTP/1.1",
    "200 parameters": "GET /poll?" + "a=b&" * 200 + " HTTP/1.1",
    "a timeout of 1e400": "GET /poll?timeout=1e400 HTTP/1.1",
    "a timeout of -nan": "GET /poll?timeout=-nan HTTP/1.1",
    "a client id that is no UTF-8": "GET /poll?clientId=%ff%fe&timeout=0 HTTP/1.1",
    "a session without a value": "GET /poll?session HTTP/1.1",
    "a seq of 20 digits": "POST /send?session=x&seq=99999999999999999999 HTTP/1.1",
    "a length of 93 GiB": "POST /send?session=x HTTP/1.1\r\nContent-Length: 99999999999",
    "DELETE of nothing": "DELETE /poll HTTP/1.1",
    "a slash behind": "GET /poll/ HTTP/1.1",
    "a slash in front": "GET //poll HTTP/1.1",
    "Origin null": "GET /poll?session=x HTTP/1.1\r\nOrigin: null",
    "two Origins": "GET /poll?session=x HTTP/1.1\r\nOrigin: http://a\r\nOrigin: http://b",
    "a session of 15,000 bytes, encoded": "GET /poll?session=" + "%41" * 5_000 + " HTTP/1.1",
    "a session that is __proto__": "GET /poll?session=__proto__ HTTP/1.1",
    "a session that climbs": "GET /poll?session=../../etc HTTP/1.1",
    "two sessions": "GET /poll?session=a&session=b HTTP/1.1",
    "a timeout below zero": "GET /poll?timeout=-1 HTTP/1.1",
    "a timeout of a year": "GET /poll?session=x&timeout=31536000 HTTP/1.1",
    "a seq below zero": "POST /send?session=x&seq=-1 HTTP/1.1",
    "a seq of letters": "POST /send?session=x&seq=abc HTTP/1.1",
    "PUT": "PUT /poll HTTP/1.1",
    "HEAD of a poll": "HEAD /poll?session=x HTTP/1.1",
    "a send without a session": "POST /send HTTP/1.1\r\nContent-Length: 0",
    "a foreign Origin": "POST /send?session=x HTTP/1.1\r\nOrigin: http://evil.example\r\nContent-Length: 0",
    "a length and chunks": "POST /send?session=x HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked",
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_hostile_request_is_refused_or_harmless(place: Place, name: str) -> None:
    async with healthy_neighbour(place):
        answer = await place.send(
            f"{REQUESTS[name]}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode(), b"\r\n\r\n"
        )
        status = int(answer.split(b" ")[1])
        # 307: a slash too many, as everywhere.
        assert status in (200, 204, 307) or 400 <= status < 500, answer


async def test_a_body_that_never_ends_is_cut_and_its_session_goes_on(place: Place) -> None:
    async with healthy_neighbour(place), client(place) as http:
        session = (await http.get("/poll")).json()["session"]
        reader, writer = await place.open()
        head = f"POST /send?session={session} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 17)
        async with asyncio.timeout(10):
            assert b" 413 " in await reader.readuntil(b"\r\n")
        writer.close()
        alive = await http.post("/send", params={"session": session}, content=json.dumps([]))
        assert alive.json() == {"messages": []}


async def test_a_client_that_polls_on_many_connections_has_one_poll(place: Place) -> None:
    async with healthy_neighbour(place), client(place) as http:
        session = (await http.get("/poll")).json()["session"]
        polls = [asyncio.create_task(http.get("/poll", params={"session": session})) for _ in range(20)]
        done, waiting = await asyncio.wait(polls, return_when=asyncio.ALL_COMPLETED, timeout=2)
        assert len(waiting) == 1
        assert {poll.result().status_code for poll in done} == {204}
        await http.delete("/poll", params={"session": session})
        assert (await waiting.pop()).status_code == 404
