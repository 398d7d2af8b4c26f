"""Options and URLs."""

from typing import Any

import pytest

from chappe.client.options import HubOptions, Settings, http_base, websocket_url
from chappe.client.reconnection import ReconnectionPolicy
from chappe.model.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ws://127.0.0.1:8080/ws", "ws://127.0.0.1:8080/ws"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/"),
        ("https://hub.example/ws?ticket=1#here", "wss://hub.example/ws?ticket=1"),
        ("ws://[::1]:9/", "ws://[::1]:9/"),
    ],
)
def test_people_write_urls_in_these_ways(written: str, meant: str) -> None:
    assert websocket_url(written) == meant


@pytest.mark.parametrize("url", ["hub.example", "ftp://hub", "ws://", "ws://hub:99999/", "ws://hub:x/", "ws://hub:0/"])
def test_what_is_no_url_is_refused_with_what_was_expected(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="expected ws://"):
        websocket_url(url)


def test_defaults_are_those_of_the_interface() -> None:
    settings = Settings(url="ws://hub/")
    assert settings.policy == ReconnectionPolicy(interval_ms=1_000, max_ms=30_000, jitter="full", max_attempts=0)
    assert (settings.heartbeat_interval_s, settings.pong_timeout_s) == (30.0, 10.0)


def test_every_option_has_a_setting() -> None:
    names = set(HubOptions.__annotations__)
    assert names == set(Settings.__dataclass_fields__) - {"url", "subprotocols"}


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="reconect_max_ms"):
        Settings(url="ws://hub/", reconect_max_ms=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("url", "base", "query"),
    [
        ("ws://127.0.0.1:8080/ws", "http://127.0.0.1:8080/", ""),
        ("wss://hub.example/realtime/ws?lang=fr", "https://hub.example/realtime/", "lang=fr"),
        ("ws://hub", "http://hub/", ""),
    ],
)
def test_polls_go_beside_the_websocket(url: str, base: str, query: str) -> None:
    assert http_base(websocket_url(url)) == (base, query)


@pytest.mark.parametrize(
    "options",
    [
        {"transports": ()},
        {"transports": ("websocket", "pigeon")},
        {"transports": ("sse", "sse")},
        {"heartbeat": "slow"},
        {"batch_ms": -1},
        {"batch_max": 0},
    ],
)
def test_an_option_out_of_bounds_is_refused(options: Any) -> None:
    with pytest.raises(LocalProtocolError, match="expected"):
        Settings(url="ws://hub/", **options)
