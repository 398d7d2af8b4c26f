"""Chappe: a realtime hub for Python.

Names are loaded when they are first used: a program that only imports the client loads no server module, and runs where
there is none (Pyodide).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chappe.app import Hub, Session
    from chappe.client import blocking, classic, websocket
    from chappe.client.client import connect
    from chappe.hub.contracts import Claims
    from chappe.hub.hooks import Draft
    from chappe.hub.namespaces import Access, Level, Namespace
    from chappe.model.error_codes import Code
    from chappe.model.errors import ChappeError, ConfigurationError, Refused
    from chappe.model.position import Position
    from chappe.model.publication import Publication
    from chappe.registering import MqttExchange
    from chappe.serving import Server

__all__ = [
    "Access",
    "ChappeError",
    "Claims",
    "Code",
    "ConfigurationError",
    "Draft",
    "Hub",
    "Level",
    "MqttExchange",
    "Namespace",
    "Position",
    "Publication",
    "Refused",
    "Server",
    "Session",
    "blocking",
    "classic",
    "connect",
    "websocket",
]

_MODULES = {
    "Access": "chappe.hub.namespaces",
    "ChappeError": "chappe.model.errors",
    "Claims": "chappe.hub.contracts",
    "Code": "chappe.model.error_codes",
    "ConfigurationError": "chappe.model.errors",
    "Draft": "chappe.hub.hooks",
    "Hub": "chappe.app",
    "Level": "chappe.hub.namespaces",
    "MqttExchange": "chappe.registering",
    "Namespace": "chappe.hub.namespaces",
    "Position": "chappe.model.position",
    "Publication": "chappe.model.publication",
    "Refused": "chappe.model.errors",
    "Server": "chappe.serving",
    "Session": "chappe.app",
    "connect": "chappe.client.client",
}
_SUBMODULES = {
    "blocking": "chappe.client.blocking",
    "classic": "chappe.client.classic",
    "websocket": "chappe.client.websocket",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(_SUBMODULES[name])
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'chappe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
