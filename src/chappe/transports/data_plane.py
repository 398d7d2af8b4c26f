"""Which way bytes go: the native reactor, where it can serve a listener, or asyncio's transports."""

import importlib
import sys
from typing import Final, Literal, TypeAlias

from chappe.model.errors import ConfigurationError

DataPlane: TypeAlias = Literal["native", "portable"]
Obstacle: TypeAlias = Literal["system", "tls", "not_built"]

_REASONS: Final[dict[Obstacle, str]] = {
    "system": "it exists on Linux only",
    "tls": "it serves no TLS; let a proxy in front end TLS, or write portable",
    "not_built": "its extension is not built; install a C compiler and Chappe again, or write auto",
}


def choose(wanted: Literal["auto", "native", "portable"], *, tls: bool = False) -> DataPlane:
    """Return how a listener's connections are served; `auto` takes the native plane where nothing is in its way.

    Raises:
        ConfigurationError: the native plane is wanted and cannot serve; one line that says what to do.
    """
    if wanted == "portable":
        return "portable"
    found = obstacle(tls=tls)
    if found is None:
        return "native"
    if wanted == "native":
        raise ConfigurationError(f'server.data_plane = "native" is impossible here: {_REASONS[found]}')
    return "portable"


def obstacle(*, tls: bool = False) -> Obstacle | None:
    """Return what keeps the native plane from serving a listener, or None."""
    if sys.platform != "linux":
        return "system"
    if tls:
        return "tls"
    try:
        importlib.import_module("chappe.transports.native")
    except ImportError:
        return "not_built"
    return None
