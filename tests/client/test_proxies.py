"""A proxy that the client is told to use, over each transport."""

import sys
from typing import Any

import pytest

import chappe
from chappe.client.connection import Transport
from chappe.client.errors import ConnectionLost
from tests.client.forward_proxy import forward_proxy
from tests.client.hostile_proxy import running

# Each of these starts a hub of its own.
pytestmark = pytest.mark.slow

ALL: list[Transport] = ["websocket", "sse", "polling"]


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
@pytest.mark.parametrize("transport", ALL)
async def test_everything_goes_through_the_proxy(transport: Transport, scheme: str) -> None:
    async with running() as server, forward_proxy() as proxy:
        through = f"{scheme}://127.0.0.1:{proxy.port}"
        client = chappe.connect(f"{server.url}/ws", transports=(transport,), proxy=through)
        async with client, client.subscribe("news") as news:
            await client.publish("news", "through")
            assert (await anext(news)).data == "through"
        assert proxy.asked
        if scheme == "socks5h":
            assert set(proxy.asked) == {f"SOCKS 127.0.0.1:{server.port}"}


@pytest.mark.parametrize("transport", ALL)
async def test_what_the_environment_says_counts_unless_no_proxy_is_asked_for(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with running() as server, forward_proxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with chappe.connect(f"{server.url}/ws", transports=(transport,), proxy=None):
            assert not proxy.asked
        async with chappe.connect(f"{server.url}/ws", transports=(transport,)):
            assert proxy.asked


@pytest.mark.parametrize("transport", ALL)
async def test_a_proxy_may_ask_for_a_password_and_its_refusal_is_final(transport: Transport) -> None:
    async with running() as server, forward_proxy() as proxy:
        proxy.user = "ada:secret"
        options: Any = {"transports": (transport,)}
        address = f"127.0.0.1:{proxy.port}"
        async with chappe.connect(f"{server.url}/ws", proxy=f"http://ada:secret@{address}", **options) as client:
            assert await client.ping() > 0
        with pytest.raises(ConnectionLost, match="407") as caught:
            await chappe.connect(f"{server.url}/ws", proxy=f"http://ada:wrong@{address}", **options)
        assert caught.value.final
        assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("transport", ALL)
async def test_a_proxy_that_is_not_there_is_named(transport: Transport) -> None:
    async with running() as server:
        with pytest.raises(ConnectionLost, match=r"through the proxy 127\.0\.0\.1:1") as caught:
            await chappe.connect(f"{server.url}/ws", transports=(transport,), proxy="http://ada:secret@127.0.0.1:1")
        assert "secret" not in str(caught.value)
        assert not caught.value.final


async def test_a_transport_without_the_package_for_its_proxy_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    async with running() as server, forward_proxy() as proxy:
        through = f"socks5h://127.0.0.1:{proxy.port}"
        with pytest.raises(ConnectionLost, match=r"chappe\[socks\]"):
            await chappe.connect(f"{server.url}/ws", transports=("sse",), proxy=through)
        async with chappe.connect(f"{server.url}/ws", transports=("sse", "websocket"), proxy=through) as client:
            assert client.transport == "websocket"
