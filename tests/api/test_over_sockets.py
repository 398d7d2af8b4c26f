"""The HTTP API behind the real front door: sockets, keep-alive, bodies in pieces, draining."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import websockets

from chappe.app import Hub
from chappe.config import load
from chappe.serving import Server
from tests.api.rig import KEY

PUBLISH = b'{"channel":"chat/lobby","data":{"hello":"world"}}'


@contextlib.asynccontextmanager
async def serving(hub: Hub | None = None) -> AsyncIterator[Server]:
    server = Server(hub or Hub(dev=True), port=0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def head(server: Server, *fields: str) -> bytes:
    lines = ["POST /api/publish HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *fields, "", ""]
    return "\r\n".join(lines).encode()


async def exchange(server: Server, *parts: bytes) -> bytes:
    """Send parts one after the other and return everything that comes until the connection closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer


@pytest.mark.slow
async def test_many_publishes_share_one_connection() -> None:
    async with serving() as server, httpx.AsyncClient(base_url=server.url) as client:
        offsets = [(await client.post("/api/publish", content=PUBLISH)).json()["offset"] for _ in range(50)]
        assert offsets == sorted(set(offsets))
        page = (await client.get("/api/history?channel=chat/lobby&limit=50")).json()
        assert [each["offset"] for each in page["publications"]] == offsets
        assert (await client.get("/readyz")).json() == {"ready": True, "reasons": {}}


@pytest.mark.slow
async def test_a_body_in_pieces_is_one_publication() -> None:
    async with serving() as server:
        chunked = head(server, "Transfer-Encoding: chunked", "Connection: close")
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in (PUBLISH[:7], PUBLISH[7:20], PUBLISH[20:])]
        answer = await exchange(server, chunked, *chunks, b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        declared = head(server, f"Content-Length: {len(PUBLISH)}", "Connection: close")
        answer = await exchange(server, declared[:30], declared[30:], PUBLISH[:9], PUBLISH[9:])
        assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
async def test_a_body_over_the_cap_is_refused_before_it_is_read_and_the_connection_closes() -> None:
    async with serving() as server:
        for fields in (("Content-Length: 99999999",), ("Transfer-Encoding: chunked",)):
            body = [b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 17 if "Transfer" in fields[0] else [b"{"]
            answer = await exchange(server, head(server, *fields), *body)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["code"] == 113
        async with httpx.AsyncClient(base_url=server.url) as client:
            assert (await client.post("/api/publish", content=PUBLISH)).status_code == 200


@pytest.mark.slow
async def test_requests_sent_without_waiting_are_answered_in_order() -> None:
    async with serving() as server:
        one = head(server, f"Content-Length: {len(PUBLISH)}") + PUBLISH
        last = head(server, f"Content-Length: {len(PUBLISH)}", "Connection: close") + PUBLISH
        answer = await exchange(server, one + one + last)
        bodies = [part for part in answer.split(b"\r\n") if part.startswith(b'{"offset"')]
        bodies = [body.partition(b"HTTP/1.1")[0] for body in bodies]
        assert [msgspec.json.decode(body)["offset"] for body in bodies] == [1, 2, 3]


@pytest.mark.slow
async def test_a_closed_hub_opens_with_a_key_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "api.keys").write_text(f"shop:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    (tmp_path / "chappe.toml").write_text(f'[api]\nkeys_file = "{tmp_path / "api.keys"}"\n')
    hub = Hub(settings=load(tmp_path / "chappe.toml").settings)
    async with serving(hub) as server, httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/api/publish", content=PUBLISH)).status_code == 401
        fields = {"Authorization": f"Bearer {KEY}"}
        assert (await client.post("/api/publish", content=PUBLISH, headers=fields)).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        assert b"chappe_published_total 1" in (await client.get("/metrics", headers=fields)).content
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.slow
async def test_another_host_and_another_sites_page_are_refused_at_the_door() -> None:
    async with serving() as server, httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/healthz", headers={"Host": "evil.test"})).status_code == 421
        page = await client.post("/api/publish", content=PUBLISH, headers={"Origin": "https://evil.test"})
        assert page.status_code == 403


@pytest.mark.slow
async def test_a_connection_is_listed_with_what_passed_over_it() -> None:
    async with (
        serving() as server,
        httpx.AsyncClient(base_url=server.url) as client,
        websockets.connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None, compression=None) as websocket,
    ):
        await websocket.send('{"type":"ping","id":1}')
        answer = await websocket.recv()
        (entry,) = (await client.post("/api/connections", json={})).json()["connections"]
    assert entry["messages_in"] == entry["messages_out"] == 1
    # A head of two bytes, and a client's mask of four.
    assert entry["bytes_in"] == len('{"type":"ping","id":1}') + 6
    # Behind the answer to the upgrade.
    assert entry["bytes_out"] > len(answer) + 2
