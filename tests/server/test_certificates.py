"""Certificates under foreign programs: renewal, clients that show one, versions and ciphers."""

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import websockets

from chappe.model.errors import ConfigurationError
from chappe.server.certificates import Certificates, TlsFiles
from tests.server.authority import Authority
from tests.server.tls_harness import HELLO, run, s_client, serving, shown_to, trusting

#: What curl says of a connection that the server ends in its handshake: nothing came, or it failed to receive.
CUT = (52, 56)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


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
