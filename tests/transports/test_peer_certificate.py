"""Certificates of clients, as requests carry them."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from chappe.transports.peer_certificate import PeerCertificate, certificate_of, read_certificate
from chappe.transports.upgrade import Request
from tests.server.authority import Authority
from tests.server.tls_harness import serving, trusting


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


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
    since = "Jan  1 00:00:00 2026 GMT"
    found = read_certificate({"subject": subject, "notBefore": since, "notAfter": "Jan  1 00:00:00 2027 GMT"})
    assert found is not None
    assert found.common_name == ""
    assert found.expires_at == 1_798_761_600.0
    assert read_certificate({}) is None


@pytest.mark.parametrize("path", ["/version", "/poll", "/events?channel=chat/lobby"])
async def test_an_app_finds_it_in_the_scope_of_every_request(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # Found by this test: the takeover of a stream put its own extension in the place of this one.
    ada, main = authority.issue("ada"), authority.issue("main", "127.0.0.1")
    seen: list[PeerCertificate | None] = []

    def note(scope: MutableMapping[str, Any]) -> PeerCertificate | None:
        seen.append(certificate_of(scope))
        return seen[-1]

    monkeypatch.setattr("chappe.api.heads.certificate_of", note)
    async with serving(main, server__client_ca=authority.cert, server__client_cert="optional") as server:
        for client in (ada, None):
            url = f"https://127.0.0.1:{server.port}{path}"
            async with (
                httpx.AsyncClient(verify=trusting(authority, client), trust_env=False) as http,
                http.stream("GET", url) as response,
            ):
                assert response.status_code == 200
    assert [found.common_name if found else None for found in seen] == ["ada", None]
