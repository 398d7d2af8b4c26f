"""Options and URLs."""

import pytest

from chappe.client.options import ConnectionOptions, Settings, websocket_url
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
    names = set(ConnectionOptions.__annotations__)
    assert names == set(Settings.__dataclass_fields__) - {"url", "subprotocols"}


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="reconect_max_ms"):
        Settings(url="ws://hub/", reconect_max_ms=1)  # type: ignore[call-arg]
