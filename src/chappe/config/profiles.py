"""Hold the named sets of settings: presets, which are defaults, and the `--dev` profile, which opens a hub.

`--dev` gives away every right, so it refuses any address that another machine could reach.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from chappe.config.errors import SettingError
from chappe.config.origins import Origin

_DEV = Origin("dev", "--dev")

PRESETS: dict[str, dict[str, Any]] = {
    "": {},
    "strict": {
        "limits.connections_per_address": 5,
        "limits.message_bytes": 10_240,
        "limits.frame_bytes": 65_536,
        "limits.message_fragments": 16,
        "limits.send_queue_bytes": 262_144,
        "limits.send_queue_messages": 1_000,
        "limits.unauthenticated_connections": 200,
        "limits.unauthenticated_per_address": 3,
        "limits.connects_per_s": 100.0,
        "limits.address_connects_per_s": 5.0,
        "limits.address_connects_burst": 20,
        "limits.channels_per_client": 32,
        "limits.messages_per_s": 10.0,
        "limits.messages_burst": 40,
        "limits.user_messages_per_s": 20.0,
        "limits.user_messages_burst": 80,
        "limits.address_messages_per_s": 50.0,
        "limits.address_messages_burst": 200,
        "limits.batch_commands": 100,
        "limits.calls_in_flight": 8,
        "limits.json_depth": 16,
        "limits.json_keys": 200,
        "limits.history_page": 100,
        "limits.history_page_bytes": 262_144,
        "limits.recovery_bytes": 4_194_304,
        "limits.relay_bytes": 134_217_728,
        "limits.handshake_timeout_s": 5.0,
        "limits.message_timeout_s": 10.0,
        "server.head_bytes": 8_192,
        "server.head_timeout_s": 5.0,
    },
    "high-load": {"server.batch_window_ms": 50},
}

_OPEN_NAMESPACE: dict[str, Any] = {
    "level": "recoverable",
    "history_count": 100,
    "history_age_s": 600.0,
    "presence": True,
    "patterns": True,
}

#: What `--dev` starts from; the file, the environment and flags may say otherwise.
DEV_DEFAULTS: dict[str, Any] = {
    **{f"namespaces.default.{key}": value for key, value in _OPEN_NAMESPACE.items()},
    **{f"namespaces.chat.{key}": value for key, value in _OPEN_NAMESPACE.items()},
    "namespaces.chat.room": True,
    "poll.simple": True,
    "sse.default_channels": ("chat/lobby",),
}

#: What `--dev` means, whatever any source says.
DEV_FORCED: dict[str, Any] = {
    "server.allowed_hosts": ("localhost", "127.0.0.1", "[::1]"),
    "auth.anonymous": True,
    "api.insecure_open": True,
    "limits.connections_per_address": 1_000_000,
    "limits.messages_per_s": 0.0,
    "limits.user_messages_per_s": 0.0,
    "limits.address_messages_per_s": 0.0,
    "limits.connects_per_s": 0.0,
    "limits.address_connects_per_s": 0.0,
}


def dev(values: Mapping[str, tuple[Any, Origin]]) -> dict[str, tuple[Any, Origin]]:
    """Return checked values, by dotted name, with the `--dev` profile around them.

    Raises:
        SettingError: the hub would listen where another machine can reach it.
    """
    host, where = values.get("server.host", ("127.0.0.1", _DEV))
    if not is_loopback(host):
        raise SettingError("dev_loopback", where.name, section="server", key="host", value=host)
    around = {name: (value, _DEV) for name, value in DEV_DEFAULTS.items()} | dict(values)
    around |= {name: (value, _DEV) for name, value in DEV_FORCED.items()}
    namespaces = {name.rpartition(".")[0] for name in around if name.startswith("namespaces.")}
    for namespace in namespaces:
        for right in ("subscribe", "publish"):
            around[f"{namespace}.{right}"] = ("anonymous", _DEV)
    return around


def is_loopback(host: str) -> bool:
    """Tell whether an address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
