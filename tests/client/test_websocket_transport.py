"""One WebSocket connection, against real servers."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from chappe.client.errors import ConnectionLost
from chappe.client.options import Settings
from chappe.client.websocket_transport import dial
from chappe.model.errors import LocalProtocolError

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def server(
    handler: Handler,
    process: Callable[[ServerConnection, Request], Response | None] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    async with serve(
        handler, "127.0.0.1", 0, process_request=process, ssl=tls, ping_interval=None, close_timeout=0.05
    ) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/"


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


def answering(status: int, *headers: tuple[str, str]) -> Callable[[ServerConnection, Request], Response]:
    return lambda socket, request: Response(status, HTTPStatus(status).phrase, Headers(headers), b"")


def certificate(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1 that no authority signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return pem


@pytest.mark.loops("uvloop", "asyncio")
async def test_text_and_bytes_stay_what_they_are() -> None:
    async with server(echo) as url:
        connection = await dial(Settings(url=url))
        await connection.send("é")
        await connection.send(b"\x00\xff")
        assert [await connection.receive(), await connection.receive()] == ["é", b"\x00\xff"]
        await connection.close()
        await connection.close()


async def test_the_close_code_and_reason_of_the_server_are_told() -> None:
    async def refuse(socket: ServerConnection) -> None:
        await socket.close(3503, "an operator")

    async with server(refuse) as url:
        connection = await dial(Settings(url=url))
        with pytest.raises(ConnectionLost) as caught:
            await connection.receive()
        assert (caught.value.close_code, caught.value.reason, caught.value.final) == (3503, "an operator", True)
        with pytest.raises(ConnectionLost):
            await connection.send("late")


async def test_a_cut_has_code_1006_and_is_not_final() -> None:
    async def cut(socket: ServerConnection) -> None:
        socket.transport.abort()

    async with server(cut) as url:
        connection = await dial(Settings(url=url))
        with pytest.raises(ConnectionLost) as caught:
            await connection.receive()
        assert (caught.value.close_code, caught.value.final) == (1006, False)


async def test_an_abort_says_why() -> None:
    async with server(echo) as url:
        connection = await dial(Settings(url=url))
        connection.abort("no pong within 10 s")
        with pytest.raises(ConnectionLost, match="no pong within 10 s"):
            await connection.receive()


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with server(echo) as url:
        connection = await dial(Settings(url=url))
        receiving = asyncio.create_task(connection.receive())
        await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await connection.send("kept")
        assert await connection.receive() == "kept"
        await connection.close()


async def test_a_message_above_the_limit_closes_with_1009_for_good() -> None:
    async with server(echo) as url:
        connection = await dial(Settings(url=url, max_message_bytes=10, compression="none"))
        await connection.send("x" * 11)
        with pytest.raises(ConnectionLost) as caught:
            await connection.receive()
        assert (caught.value.close_code, caught.value.final) == (1009, True)


@pytest.mark.parametrize(("status", "final"), [(401, True), (403, True), (404, True), (429, False), (503, False)])
async def test_a_refused_handshake_says_the_status_and_whether_to_try_again(status: int, final: bool) -> None:
    async with server(echo, answering(status)) as url:
        with pytest.raises(ConnectionLost, match=f"HTTP {status}") as caught:
            await dial(Settings(url=url + "?ticket=secret"))
        assert caught.value.final is final
        assert "secret" not in caught.value.reason


async def test_a_server_says_when_to_come_back_in_a_header_or_in_its_close_reason() -> None:
    async with server(echo, answering(503, ("Retry-After", "5"))) as url:
        with pytest.raises(ConnectionLost) as caught:
            await dial(Settings(url=url))
        assert caught.value.retry_after_ms == 5_000

    async def drain(socket: ServerConnection) -> None:
        await socket.close(3001, "the hub is shutting down; reconnect after 1234 ms")

    async with server(drain) as url:
        connection = await dial(Settings(url=url))
        with pytest.raises(ConnectionLost) as caught:
            await connection.receive()
        assert caught.value.retry_after_ms == 1_234


async def test_redirects_are_not_followed_since_the_token_would_go_there_too() -> None:
    visits: list[str] = []

    async def visited(socket: ServerConnection) -> None:
        visits.append("elsewhere")

    async with server(visited) as elsewhere, server(echo, answering(302, ("Location", elsewhere))) as url:
        with pytest.raises(ConnectionLost, match="HTTP 302") as caught:
            await dial(Settings(url=url))
    assert caught.value.final
    assert not visits


async def test_nobody_there_is_not_final() -> None:
    async with server(echo) as url:
        pass
    with pytest.raises(ConnectionLost, match=r"cannot connect to ws://127\.0\.0\.1") as caught:
        await dial(Settings(url=url))
    assert not caught.value.final


async def test_a_server_that_never_answers_is_left_in_time() -> None:
    silent = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    listening = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(ConnectionLost, match=r"does not answer within 0\.05 s"):
        await dial(Settings(url=f"ws://127.0.0.1:{port}/", open_timeout_s=0.05))
    silent.set()
    listening.close()
    await listening.wait_closed()


async def test_what_is_no_websocket_says_so() -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    listening = await asyncio.start_server(speak_http, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(ConnectionLost, match="is no WebSocket"):
        await dial(Settings(url=f"ws://127.0.0.1:{port}/"))
    listening.close()
    await listening.wait_closed()


async def test_a_certificate_nobody_vouches_for_is_refused_for_good_and_by_name(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = certificate(tmp_path)
    tls.load_cert_chain(pem)
    async with server(echo, tls=tls) as url:
        with pytest.raises(ConnectionLost, match="signed by itself") as caught:
            await dial(Settings(url=url))
        assert caught.value.final
        trusting = ssl.create_default_context(cafile=str(pem))
        connection = await dial(Settings(url=url, ssl=trusting))
        assert await connection.ping(5.0) is not None
        await connection.close()


async def test_tls_settings_for_a_url_without_tls_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"cannot connect to ws://127\.0\.0\.1:1/"):
        await dial(Settings(url="ws://127.0.0.1:1/", ssl=ssl.create_default_context()))


async def test_a_ping_measures_the_round_trip_while_somebody_reads() -> None:
    async with server(echo) as url:
        connection = await dial(Settings(url=url))
        reading = asyncio.create_task(connection.receive())
        latency_s = await connection.ping(5.0)
        assert latency_s is not None
        assert 0 < latency_s < 5
        await connection.close()
        await asyncio.gather(reading, return_exceptions=True)


async def test_a_peer_that_reads_nothing_misses_the_pong_but_a_pause_of_our_own_proves_nothing() -> None:
    async def frozen(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await socket.wait_closed()

    async with server(frozen) as url:
        connection = await dial(Settings(url=url))
        assert await connection.ping(0.02) is None, "nobody reads here"
        reading = asyncio.create_task(connection.receive())
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await connection.ping(0.02)
        connection.abort("over")
        await asyncio.gather(reading, return_exceptions=True)


async def test_headers_and_subprotocols_reach_the_server() -> None:
    seen: list[str | None] = []

    def look(socket: ServerConnection, request: Request) -> None:
        seen.extend(request.headers.get(name) for name in ("X-Room", "Origin", "Sec-WebSocket-Protocol"))

    async with server(echo, look) as url:
        settings = Settings(url=url, headers={"X-Room": "b12"}, origin="https://hub.example", subprotocols=("a", "b"))
        connection = await dial(settings)
        assert connection.subprotocol is None
        await connection.close()
    assert seen == ["b12", "https://hub.example", "a, b"]
