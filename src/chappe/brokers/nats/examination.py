"""A look at the servers of a URL, without logging in: for `chappe doctor`."""

import contextlib
import json
import socket
from typing import Any, Final, NamedTuple

from chappe.brokers.nats.options import parse_url

#: Servers give a whole range of messages in one answer, and let each message expire, from this version on.
OLDEST_SERVER: Final = (2, 11)
_TIMEOUT_S: Final = 3.0
_INFO_BYTES: Final = 65_536


class Report(NamedTuple):
    """What the first server that answers says of itself.

    Attributes:
        state: `good`, `silent` (nobody answers), `old`, `bare` (no JetStream).
        server: who answered, or who was asked last.
        version: of the server, or empty.
    """

    state: str
    server: str
    version: str = ""


def examine(url: str) -> Report:
    """Ask the servers of a URL in turn until one answers.

    Raises:
        ConfigurationError: the URL says something that is not known.
    """
    server = ""
    for server in parse_url(url).servers:
        info = _info(server)
        if info is not None:
            version = str(info.get("version", ""))
            if version_of(version) < OLDEST_SERVER:
                return Report("old", server, version)
            return Report("good" if info.get("jetstream") else "bare", server, version)
    return Report("silent", server)


def version_of(text: str) -> tuple[int, int]:
    """Return major and minor of a version; (0, 0) of what is none."""
    major, _, rest = text.partition(".")
    minor, _, _ = rest.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def _info(server: str) -> dict[str, Any] | None:
    host, _, port = server.rpartition(":")
    with (
        contextlib.suppress(OSError, ValueError),
        socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_S) as connection,
        connection.makefile("rb") as file,
    ):
        word, _, text = file.readline(_INFO_BYTES).partition(b" ")
        info = json.loads(text)
        if word == b"INFO" and isinstance(info, dict):
            return info
    return None
