"""TLS over each transport: an authority of one's own, a certificate of the client's, refusals by name."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import chappe
from chappe.client.connection import Transport
from chappe.client.errors import ConnectionLost
from tests.client.certificates import Authority
from tests.client.forward_proxy import forward_proxy
from tests.client.tls_front import tls_front

# Each of these starts a hub of its own.
pytestmark = pytest.mark.slow

ALL: list[Transport] = ["websocket", "sse", "polling"]
EVERY: tuple[Transport, ...] = ("websocket", "sse", "polling")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def hub_behind_tls(authority: Authority, *, asks: bool = False, name: str = "127.0.0.1") -> AsyncIterator[str]:
    """A hub behind a front that speaks TLS, and with `asks` wants a certificate of the client."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.issue(name))
    if asks:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(authority.certificate)
    server = chappe.Server(chappe.Hub(dev=True), port=0)
    await server.start()
    try:
        async with tls_front(server.port, tls) as port:
            yield f"wss://127.0.0.1:{port}/ws"
    finally:
        await server.stop()


def trusting(authority: Authority, own: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if own is not None:
        context.load_cert_chain(own)
    return context


@pytest.mark.parametrize("transport", ALL)
async def test_an_authority_of_ones_own_is_trusted_when_it_is_named(transport: Transport, authority: Authority) -> None:
    async with hub_behind_tls(authority) as url:
        options: Any = {"transports": (transport,), "ssl": trusting(authority)}
        async with chappe.connect(url, **options) as client, client.subscribe("news") as news:
            await client.publish("news", "hello")
            assert (await anext(news)).data == "hello"


@pytest.mark.parametrize("transports", [*((transport,) for transport in ALL), EVERY])
async def test_a_certificate_nobody_vouches_for_ends_it_by_name(
    transports: tuple[Transport, ...], authority: Authority
) -> None:
    async with hub_behind_tls(authority) as url:
        client = chappe.connect(url, transports=transports, retry_first=True)
        with pytest.raises(ConnectionLost, match=r"signed by itself|unknown authority") as caught:
            await client
        assert caught.value.final
        assert client.state == "refused"


@pytest.mark.parametrize("transport", ALL)
async def test_a_certificate_of_another_host_is_refused(transport: Transport, authority: Authority) -> None:
    async with hub_behind_tls(authority, name="127.0.0.2") as url:
        with pytest.raises(ConnectionLost, match="for another address") as caught:
            await chappe.connect(url, transports=(transport,), ssl=trusting(authority))
        assert caught.value.final


@pytest.mark.parametrize("transport", ALL)
async def test_a_server_that_asks_for_a_certificate_gets_ours(transport: Transport, authority: Authority) -> None:
    async with hub_behind_tls(authority, asks=True) as url:
        own = trusting(authority, authority.issue("127.0.0.9"))
        async with chappe.connect(url, transports=(transport,), ssl=own) as client:
            assert await client.ping() > 0
        with pytest.raises(ConnectionLost):
            await chappe.connect(url, transports=(transport,), ssl=trusting(authority))


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
@pytest.mark.parametrize("transport", ALL)
async def test_tls_goes_through_a_proxy_unseen(transport: Transport, scheme: str, authority: Authority) -> None:
    async with hub_behind_tls(authority) as url, forward_proxy() as proxy:
        options: Any = {"transports": (transport,), "ssl": trusting(authority)}
        async with chappe.connect(url, proxy=f"{scheme}://127.0.0.1:{proxy.port}", **options) as client:
            assert await client.ping() > 0
        word = "CONNECT" if scheme == "http" else "SOCKS"
        assert {asked.partition(" ")[0] for asked in proxy.asked} == {word}


@pytest.mark.parametrize("transport", ALL)
async def test_a_proxy_that_wants_another_password_is_final_for_tls_too(
    transport: Transport, authority: Authority
) -> None:
    async with hub_behind_tls(authority) as url, forward_proxy() as proxy:
        proxy.user = "ada:secret"
        options: Any = {"transports": (transport,), "ssl": trusting(authority)}
        with pytest.raises(ConnectionLost, match="407") as caught:
            await chappe.connect(url, proxy=f"http://127.0.0.1:{proxy.port}", **options)
        assert caught.value.final
