"""What a connection says first: names, pieces, and other protocols than TLS."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import httpx
import pytest

from tests.server.authority import Authority
from tests.server.tls_harness import run, serving, shown_to, trusting


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.loops("asyncio", "uvloop")
@pytest.mark.slow
async def test_each_name_gets_its_certificate_and_an_unknown_one_the_default(authority: Authority) -> None:
    main = authority.issue("main", "127.0.0.1", "main.test")
    first = authority.issue("first", "first.test", "other.test")
    star = authority.issue("star", "*.stars.test")
    star.join()
    async with serving(main, server__extra_certs=(f"{first.cert}={first.key}", star.cert)) as server:
        shown = {
            name: await shown_to(server, authority, name)
            for name in ("main.test", "first.test", "OTHER.test", "a.stars.test", "a.b.stars.test", "unknown.test")
        }
    assert shown == {
        "main.test": "CN = main",
        "first.test": "CN = first",
        "OTHER.test": "CN = first",
        "a.stars.test": "CN = star",
        "a.b.stars.test": "CN = main",
        "unknown.test": "CN = main",
    }


@pytest.mark.slow
async def test_a_hello_that_comes_in_pieces_is_understood(authority: Authority) -> None:
    main, extra = authority.issue("main", "127.0.0.1"), authority.issue("extra", "extra.test")
    async with serving(main, server__extra_certs=(f"{extra.cert}={extra.key}",)) as server:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        connection = trusting(authority).wrap_bio(incoming, outgoing, server_hostname="extra.test")
        with contextlib.suppress(ssl.SSLWantReadError):
            connection.do_handshake()
        hello = outgoing.read()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for start in range(0, len(hello), 50):
            writer.write(hello[start : start + 50])
            await writer.drain()
            await asyncio.sleep(0.001)
        while connection.version() is None:
            try:
                connection.do_handshake()
            except ssl.SSLWantReadError:
                incoming.write(await reader.read(65_536))
        assert connection.getpeercert()["subject"] == ((("commonName", "extra"),),)  # type: ignore[index]
        writer.close()


async def test_http_on_the_port_of_https_is_answered_with_a_hint(authority: Authority) -> None:
    async with serving(authority.issue("main", "127.0.0.1")) as server, httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{server.port}/"
        for answer in (await http.get(url), await http.post(url, content=bytes(1_000_000))):
            assert (answer.status_code, answer.text) == (400, "this port speaks HTTPS\n")
        code, said = await run("curl", "--silent", url)
    assert (code, said) == (0, "this port speaks HTTPS\n")
