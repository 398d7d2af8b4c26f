"""Certificates under foreign programs: names, renewal, clients that show one, clients that speak no TLS."""

import asyncio
import contextlib
import logging
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from chappe.app import Hub
from chappe.config import load
from chappe.model.errors import ConfigurationError
from chappe.server.certificates import Certificates, TlsFiles
from chappe.serving import Server
from chappe.transports.peer_certificate import PeerCertificate, read_certificate
from chappe.transports.upgrade import Request
from tests.server.authority import Authority, Issued

#: What curl says of a connection that the server ends in its handshake: nothing came, or it failed to receive.
CUT = (52, 56)
HELLO = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextlib.asynccontextmanager
async def serving(main: Issued, **flags: Any) -> AsyncIterator[Server]:
    """Serve a hub over TLS for the length of a block."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    tls = {"server.dev": True, "server.cert": main.cert, "server.key": main.key, **dotted}
    server = Server(Hub(settings=load("/dev/null", {}, tls).settings), port=0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def trusting(authority: Authority, client: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.cert)
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    return context


async def run(*command: str, stdin: bytes = b"") -> tuple[int, str]:
    """Run a foreign program; return its exit code and all it said."""
    program = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await program.communicate(stdin)
    assert program.returncode is not None
    return program.returncode, said.decode(errors="replace")


def s_client(server: Server, authority: Authority, *more: str) -> tuple[str, ...]:
    place = ("-connect", f"127.0.0.1:{server.port}", "-CAfile", authority.cert)
    return ("openssl", "s_client", *place, "-verify_return_error", "-ign_eof", *more)


async def shown_to(server: Server, authority: Authority, name: str) -> str:
    """Return the certificate's subject that openssl sees when it asks for a name."""
    _, said = await run(*s_client(server, authority, "-servername", name), stdin=HELLO)
    assert "HTTP/1.1 200" in said, said
    return said.partition("subject=")[2].splitlines()[0]


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


@pytest.mark.slow
@pytest.mark.parametrize("is_fast", [True, False], ids=["aiofastnet", "asyncio"])
async def test_a_renewed_certificate_is_served_and_who_is_connected_stays(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    monkeypatch.setattr("chappe.server.certificates.WATCH_S", 0.02)
    if not is_fast:
        monkeypatch.setattr("chappe.server.tls.find_spec", lambda name: None)
    main = authority.issue("first", "127.0.0.1", "main.test")
    async with serving(main) as server:
        uri = f"wss://127.0.0.1:{server.port}/ws"
        async with websockets.connect(uri, ssl=trusting(authority), proxy=None) as client:
            assert await shown_to(server, authority, "main.test") == "CN = first"
            authority.issue("second", "127.0.0.1", "main.test", to=main)
            async with asyncio.timeout(10):
                while await shown_to(server, authority, "main.test") != "CN = second":
                    pass
            await client.send('{"type":"ping","id":1}')
            assert await client.recv() == '{"type":"pong","id":1}'


def test_a_broken_renewal_changes_nothing_and_is_logged(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    main, other = authority.issue("main", "main.test"), authority.issue("other", "other.test")
    certificates = Certificates(TlsFiles(cert=main.cert, key=main.key))
    before, key = certificates.default, Path(main.key).read_bytes()
    with caplog.at_level(logging.INFO, "chappe.server"):
        for broken in (Path(other.key).read_bytes(), b"", b"-----BEGIN PRIVATE KEY-----\n"):
            Path(main.key).write_bytes(broken)
            assert not certificates.reload()
        Path(main.key).unlink()
        assert not certificates.reload()
        assert certificates.default is before
        Path(main.key).write_bytes(key)
        assert certificates.reload()
    assert certificates.default is not before
    said = [record.getMessage() for record in caplog.records]
    assert "they do not belong together" in said[0]
    assert "no such file" in said[3]
    assert said[4] == "certificates were read again"


@pytest.mark.slow
async def test_sighup_reads_the_certificates_again_and_the_process_goes_on(authority: Authority) -> None:
    main = authority.issue("first", "127.0.0.1", "main.test")
    files = ["--cert", main.cert, "--key", main.key]
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chappe", "serve", "--dev", "--port", "0", *files), stderr=asyncio.subprocess.PIPE
    )
    assert program.stderr is not None
    said = b""
    async with asyncio.timeout(20):
        while b"https://127.0.0.1:" not in said:
            said += await program.stderr.readline()
        authority.issue("second", "127.0.0.1", "main.test", to=main)
        program.send_signal(signal.SIGHUP)
        while b"certificates were read again" not in said:
            said += await program.stderr.readline()
        assert program.returncode is None
        program.terminate()
        await program.communicate()


@pytest.mark.slow
async def test_a_client_must_show_a_certificate_of_the_authority_where_it_is_required(
    authority: Authority, tmp_path: Path
) -> None:
    main, ada = authority.issue("main", "127.0.0.1", "localhost"), authority.issue("ada", "urn:user:ada")
    stranger = Authority(tmp_path, "stranger").issue("ada", "urn:user:ada")
    expired = authority.issue("old", days=(-10, -5))
    flags = {"server__client_ca": authority.cert, "server__client_cert": "required"}
    async with serving(main, **flags) as server:
        url = f"https://127.0.0.1:{server.port}/healthz"
        curl = ("curl", "--silent", "--show-error", "--cacert", authority.cert, url)
        assert (await run(*curl, "--cert", ada.cert, "--key", ada.key))[0] == 0
        for refused in (stranger, expired):
            assert (await run(*curl, "--cert", refused.cert, "--key", refused.key))[0] in CUT
        assert (await run(*curl))[0] in CUT


@pytest.mark.slow
async def test_an_optional_certificate_is_asked_for_and_what_is_shown_is_verified(
    authority: Authority, tmp_path: Path
) -> None:
    main, ada = authority.issue("main", "127.0.0.1"), authority.issue("ada", "urn:user:ada")
    stranger = Authority(tmp_path, "stranger").issue("ada")
    flags = {"server__client_ca": authority.cert, "server__client_cert": "optional"}
    async with serving(main, **flags) as server:
        curl = ("curl", "--silent", "--cacert", authority.cert, f"https://127.0.0.1:{server.port}/healthz")
        assert (await run(*curl))[0] == 0
        assert (await run(*curl, "--cert", ada.cert, "--key", ada.key))[0] == 0
        assert (await run(*curl, "--cert", stranger.cert, "--key", stranger.key))[0] in CUT


async def test_what_a_client_shows_is_in_its_request(authority: Authority) -> None:
    ada = authority.issue("ada", "ada.test", "urn:user:ada")
    main = authority.issue("main", "127.0.0.1")
    seen: list[PeerCertificate | None] = []
    async with serving(main, server__client_ca=authority.cert, server__client_cert="optional") as server:
        lobby = server._server._lobby  # type: ignore[union-attr]
        resolve = lobby.proxies.resolve

        def note(request: Request) -> Request:
            seen.append(request.certificate)
            return resolve(request)

        lobby.proxies.resolve = note  # type: ignore[method-assign]
        for client in (ada, None):
            uri = f"wss://127.0.0.1:{server.port}/ws"
            async with websockets.connect(uri, ssl=trusting(authority, client), proxy=None):
                pass
    shown, nothing = seen
    assert nothing is None
    assert shown is not None
    assert (shown.common_name, shown.names) == ("ada", (("DNS", "ada.test"), ("URI", "urn:user:ada")))
    assert shown.issuer == (("commonName", "test authority"),)


def test_two_common_names_are_none() -> None:
    subject = ((("commonName", "ada"),), (("commonName", "root"),))
    found = read_certificate({"subject": subject})
    assert found is not None
    assert found.common_name == ""
    assert read_certificate({}) is None


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
async def test_old_versions_of_tls_are_refused(authority: Authority, version: str) -> None:
    async with serving(authority.issue("main", "127.0.0.1")) as server:
        code, said = await run(*s_client(server, authority, version, "-cipher", "ALL:@SECLEVEL=0"), stdin=HELLO)
    assert code == 1
    assert "HTTP/1.1" not in said


@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "NULL", "RC4"])
async def test_old_ciphers_are_refused(authority: Authority, cipher: str) -> None:
    async with serving(authority.issue("main", "127.0.0.1")) as server:
        command = s_client(server, authority, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
        code, said = await run(*command, stdin=HELLO)
    assert code == 1
    assert "HTTP/1.1" not in said


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_versions_of_today_are_served(authority: Authority, version: str) -> None:
    async with serving(authority.issue("main", "127.0.0.1")) as server:
        _, said = await run(*s_client(server, authority, version), stdin=HELLO)
    assert "HTTP/1.1 200" in said
    assert "Verify return code: 0 (ok)" in said
    assert "AES" in said or "CHACHA20" in said


async def test_http_on_the_port_of_https_is_answered_with_a_hint(authority: Authority) -> None:
    async with serving(authority.issue("main", "127.0.0.1")) as server, httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{server.port}/"
        for answer in (await http.get(url), await http.post(url, content=bytes(1_000_000))):
            assert (answer.status_code, answer.text) == (400, "this port speaks HTTPS\n")
        code, said = await run("curl", "--silent", url)
    assert (code, said) == (0, "this port speaks HTTPS\n")


def test_a_file_that_cannot_be_used_is_named(authority: Authority, tmp_path: Path) -> None:
    main, nameless = authority.issue("main", "main.test"), authority.issue("nameless")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    good: dict[str, Any] = {"cert": main.cert, "key": main.key}
    for changes, expected in (
        ({"cert": "/nowhere.pem"}, "cannot use the certificate '/nowhere.pem' with its key: no such file"),
        ({"key": str(junk)}, "is no PEM"),
        ({"key": nameless.key}, "do not belong together"),
        ({"extra_certs": (f"{nameless.cert}={nameless.key}",)}, "has no DNS name"),
        ({"client_cert": "required"}, "expected server.client_ca"),
        ({"client_cert": "required", "client_ca": str(junk)}, "cannot use server.client_ca"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Certificates(TlsFiles(**{**good, **changes}))
        assert expected in caught.value.reason
