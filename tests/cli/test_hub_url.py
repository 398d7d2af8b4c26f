"""Whatever people write for a hub becomes where it speaks chappe.v1."""

import pytest

from chappe.cli.hub_url import hub_client, hub_websocket
from chappe.model.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"),
        ("https://hub.example/", "wss://hub.example/ws"),
        ("ws://hub.example/ws", "ws://hub.example/ws"),
        ("wss://hub.example/realtime/ws", "wss://hub.example/realtime/ws"),
        ("localhost:8080", "ws://localhost:8080/ws"),
    ],
)
def test_an_address_becomes_the_websocket_of_the_hub(written: str, meant: str) -> None:
    assert hub_websocket(written) == meant


@pytest.mark.parametrize("written", ["", "ftp://x", "http://", "http://x:99999"])
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(LocalProtocolError, match="expected ws://"):
        hub_websocket(written)


def test_a_client_is_not_connected_before_it_is_asked_to() -> None:
    assert hub_client("localhost:1", None).info is None
