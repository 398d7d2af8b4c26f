"""Reach a hub from the command line: its URL, the token, the client."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from chappe.cli.texts import T
from chappe.client.options import websocket_url

if TYPE_CHECKING:
    from chappe.client.client import Client

DEFAULT_URL = "http://127.0.0.1:8080"
#: Attempts to come back; a command that a script waits for must end some day.
MAX_ATTEMPTS = 10

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def hub_options(command: _Decorated) -> _Decorated:
    """Add `--url` and `--token`."""
    with_token = click.option("--token", envvar="CHAPPE_TOKEN", help=T["connect_token"])(command)
    return click.option("--url", envvar="CHAPPE_URL", default=DEFAULT_URL, show_default=True, help=T["url_option"])(
        with_token
    )


def hub_websocket(url: str) -> str:
    """Return where a hub speaks chappe.v1: `/ws`, unless the URL has a path of its own; `ws://` may be left out.

    Raises:
        LocalProtocolError: no URL of a hub.
    """
    parts = urlsplit(websocket_url(url if "://" in url else f"ws://{url}"))
    return parts._replace(path="/ws").geturl() if parts.path == "/" else parts.geturl()


def hub_client(url: str, token: str | None, name: str = "") -> "Client":
    """Return a client of a hub, not connected yet."""
    from chappe.client.client import connect

    return connect(hub_websocket(url), token=token, name=name, max_attempts=MAX_ATTEMPTS)
