"""A server with a wrong certificate is refused by default, by each transport and the command line, with the reason."""

import asyncio
import sys
from pathlib import Path

import pytest

import chappe
from chappe.client.connection import Transport
from chappe.client.errors import ConnectionLost
from tests.server.authority import Authority, Issued
from tests.server.tls_harness import serving, trusting

REASONS = {
    "expired": "its certificate has expired",
    "not yet valid": "its certificate is not valid yet",
    "another host": "its certificate is for another address",
    "unknown authority": "signed by an unknown authority",
    "signed by itself": "signed by itself",
}


def wrong(name: str, authority: Authority, folder: Path) -> Issued:
    """Issue a certificate that is wrong in one way."""
    if name == "expired":
        return authority.issue("main", "127.0.0.1", days=(-10, -5))
    if name == "not yet valid":
        return authority.issue("main", "127.0.0.1", days=(5, 10))
    if name == "another host":
        return authority.issue("main", "other.test")
    if name == "signed by itself":
        return Authority(folder, "alone").sign_itself("127.0.0.1")
    return Authority(folder, "stranger").issue("main", "127.0.0.1")


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
@pytest.mark.parametrize("name", REASONS)
async def test_a_certificate_that_is_wrong_is_refused_with_its_reason(
    tmp_path: Path, name: str, transport: Transport
) -> None:
    authority = Authority(tmp_path)
    async with serving(wrong(name, authority, tmp_path)) as server:
        url = f"wss://127.0.0.1:{server.port}/ws"
        client = chappe.connect(url, ssl=trusting(authority), transports=(transport,), max_attempts=1, proxy=None)
        with pytest.raises(ConnectionLost) as caught:
            await client
        await client.close()
    assert REASONS[name] in caught.value.reason
    assert caught.value.final


async def test_the_system_s_authorities_decide_by_default(tmp_path: Path) -> None:
    async with serving(Authority(tmp_path).issue("main", "127.0.0.1")) as server:
        client = chappe.connect(f"wss://127.0.0.1:{server.port}/ws", max_attempts=1, proxy=None)
        with pytest.raises(ConnectionLost, match="unknown authority"):
            await client
        await client.close()


async def test_a_certificate_that_is_right_is_taken_by_every_transport(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(authority.issue("main", "127.0.0.1")) as server:
        transports: tuple[Transport, ...] = ("websocket", "sse", "polling")
        for transport in transports:
            url = f"https://127.0.0.1:{server.port}/ws"
            options = {"ssl": trusting(authority), "transports": (transport,), "proxy": None}
            async with chappe.connect(url, **options) as client:  # type: ignore[arg-type]
                assert (await client.publish("chat/lobby", 1)).offset


async def test_who_speaks_no_tls_and_who_speaks_it_alone_are_told_apart(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(authority.issue("main", "127.0.0.1")) as server:
        client = chappe.connect(f"ws://127.0.0.1:{server.port}/ws", max_attempts=1, transports=("websocket",))
        with pytest.raises(ConnectionLost, match="it speaks HTTPS, use wss://"):
            await client
        await client.close()

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 no\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with plain:
        port = plain.sockets[0].getsockname()[1]
        client = chappe.connect(f"wss://127.0.0.1:{port}/ws", max_attempts=1, transports=("websocket",))
        with pytest.raises(ConnectionLost, match="it speaks no TLS"):
            await client
        await client.close()


@pytest.mark.slow
async def test_the_command_line_refuses_too_and_takes_an_authority_of_its_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serving(authority.issue("main", "127.0.0.1")) as server:
        url = f"wss://127.0.0.1:{server.port}/echo"
        for more, code, said in (((), 1, "unknown authority"), (("--ca", authority.cert), 0, "")):
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "chappe", "connect", url, *more),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            answer, _ = await program.communicate(b"hello\n")
            assert (program.returncode, said in answer.decode()) == (code, True), answer
