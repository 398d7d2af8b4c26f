"""TLS listeners under real clients: WebSocket and HTTP, slow and broken peers, the drain."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Callable

import httpx
import pytest
import websockets

from chappe.model.limits import Limits
from chappe.server.certificates import Certificates, TlsFiles
from chappe.server.listening import listen
from chappe.server.tls import TlsListener
from chappe.transports.admission import Admission
from chappe.transports.proxies import Proxies
from tests.server.certificate import Certificate
from tests.transports.front_door_harness import FrontDoorServer, close_code_of, front_door

UPGRADE = (
    b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

both_loops = pytest.mark.loops("asyncio", "uvloop")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


async def raw(server: FrontDoorServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls)


def files_of(certificate: Certificate) -> TlsFiles:
    return TlsFiles(cert=certificate.cert, key=certificate.key)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody is told of."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def until_empty(server: FrontDoorServer) -> None:
    async with asyncio.timeout(5):
        while server.lobby.links or server.hub.sessions or server.lobby.admission.others.taken:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@both_loops
async def test_messages_of_all_sizes_come_back(certificate: Certificate) -> None:
    async with front_door(certificate=certificate) as server, server.connect("/echo", max_size=None) as client:
        for size in (0, 1, 125, 126, 16_383, 16_384, 65_536, 1_048_576):
            await client.send(bytes(size))
            assert await client.recv() == bytes(size)


@both_loops
async def test_many_messages_at_once_come_back_in_order(certificate: Certificate) -> None:
    async with front_door(certificate=certificate) as server, server.connect("/echo") as client:
        for number in range(2_000):
            await client.send(str(number))
        assert [await client.recv() for _ in range(2_000)] == [str(number) for number in range(2_000)]


async def test_http_keeps_its_connection_and_streams(certificate: Certificate) -> None:
    async with front_door(certificate=certificate) as server, httpx.AsyncClient(verify=certificate.client()) as http:
        for _ in range(3):
            assert (await http.get(f"{server.url}/hello")).text == "hello"
        assert server.lobby.admission.others.taken == 1
        assert len((await http.get(f"{server.url}/count")).text.splitlines()) == 4_000


async def test_a_browser_is_told_http_1_1_and_an_old_client_is_refused(certificate: Certificate) -> None:
    async with front_door(certificate=certificate) as server:
        context = certificate.client()
        context.set_alpn_protocols(["h2", "http/1.1"])
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()
    assert Certificates(files_of(certificate)).default.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_who_speaks_no_tls_is_cut_and_harms_nobody(certificate: Certificate) -> None:
    async with front_door(certificate=certificate) as server, server.connect("/echo") as client:
        answer = await server.raw(b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.endswith(b"\r\n\r\nthis port speaks HTTPS\n")
        for other in (b"\x00" * 20, b"SSH-2.0-x\r\n", b"hello"):
            assert b"hello" not in await server.raw(other)
        await client.send("still here")
        assert await client.recv() == "still here"
        assert server.lobby.admission.handshakes.taken == 0


async def test_a_handshake_that_does_not_end_is_cut(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chappe.server.tls.HANDSHAKE_TIMEOUT_S", 0.2)
    async with front_door(certificate=certificate) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_one_address_has_so_many_handshakes_and_no_more(certificate: Certificate) -> None:
    async with front_door(certificate=certificate, limits=Limits(connections_per_address=3)) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(2):
                assert await silent[3][0].read() == b""
        for _, writer in silent[:3]:
            writer.close()
        async with asyncio.timeout(5):
            while server.lobby.admission.handshakes.taken:  # noqa: ASYNC110 - nobody is told of a failed handshake
                await asyncio.sleep(0.01)
        async with server.connect("/echo") as client:
            await client.send("room again")
            assert await client.recv() == "room again"
        silent[3][1].close()


async def test_a_slow_reader_is_closed_and_nobody_else_notices(certificate: Certificate) -> None:
    limits = Limits(send_queue_bytes=100_000, messages_per_s=0)
    async with front_door(certificate=certificate, limits=limits) as server, server.connect() as publisher:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect(("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=server.tls, server_hostname="127.0.0.1", limit=1_024
        )
        command = b'{"type":"subscribe","id":1,"channel":"news"}'
        writer.write(UPGRADE % b"/ws" + bytes((0x81, 0x80 | len(command))) + bytes(4) + command)
        await reader.readuntil(b'"reply"')
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(200):
            data = "x" * 60_000
            await publisher.send(json.dumps({"type": "publish", "id": number, "channel": "news", "data": data}))
            assert json.loads(await publisher.recv())["type"] == "reply"
        assert server.lobby.counters.slow_consumers == 1
        assert len(server.hub.sessions) == 1
        writer.transport.abort()


@both_loops
@pytest.mark.parametrize("way", ["aborted", "ended"])
async def test_a_peer_that_goes_without_a_word_is_gone(certificate: Certificate, way: str) -> None:
    async with front_door(certificate=certificate) as server:
        reader, writer = await raw(server)
        writer.write(UPGRADE % b"/ws")
        await reader.readuntil(b"\r\n\r\n")
        assert len(server.lobby.links) == 1
        if way == "aborted":
            writer.transport.abort()
        else:
            # The end of the stream inside TLS, as a half-close is none there.
            writer.close()
        await until_empty(server)


async def test_clients_are_told_to_come_back_when_the_server_ends(certificate: Certificate) -> None:
    async with front_door(certificate=certificate) as server:
        client = await server.connect("/ws")
        reader, writer = await raw(server)
        server.server.should_exit = True
        assert await close_code_of(client) == 3001
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await reader.read()
        writer.close()
    with pytest.raises(OSError):
        await websockets.connect(f"wss://127.0.0.1:{server.port}/ws", ssl=certificate.client(), proxy=None)


async def test_without_aiofastnet_the_loop_s_own_tls_serves(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chappe.server.tls.find_spec", lambda name: None)
    async with front_door(certificate=certificate) as server, server.connect("/echo") as client:
        await client.send("x" * 100_000)
        assert await client.recv() == "x" * 100_000
        assert not isinstance(server.server.servers[0], TlsListener)


@pytest.mark.parametrize("name", ["curl", "openssl"])
async def test_other_programs_connect(certificate: Certificate, name: str) -> None:
    async with front_door(certificate=certificate) as server:
        hosted = ["-CAfile", certificate.cert, "-verify_return_error", "-connect", f"127.0.0.1:{server.port}"]
        commands = {
            "curl": ["curl", "--silent", "--cacert", certificate.cert, f"{server.url}/hello"],
            "openssl": ["openssl", "s_client", "-quiet", *hosted],
        }
        program = await asyncio.create_subprocess_exec(
            *commands[name],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        request = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        answer, _ = await program.communicate(request if name == "openssl" else None)
        assert answer.endswith(b"hello")


async def test_when_descriptors_run_out_it_waits_and_accepts_again(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    # aiofastnet's own server fails here with an AttributeError at each turn of the loop.
    import resource

    monkeypatch.setattr("chappe.server.tls._PAUSE_S", 0.05)
    listener = listen("127.0.0.1", 0)
    certificates, admission = Certificates(files_of(certificate)), Admission()
    tls = TlsListener(asyncio.get_running_loop(), listener, certificates, asyncio.Protocol, admission, Proxies())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = socket.socket()
    client.setblocking(False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
    try:
        await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
        await asyncio.sleep(0.1)
        assert not admission.handshakes.taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    async with asyncio.timeout(2):
        await until(lambda: admission.handshakes.taken == 1)
    client.close()
    tls.close()
    await tls.wait_closed()
