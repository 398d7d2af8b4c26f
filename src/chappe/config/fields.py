"""Describe the settings as a table: one `Field` for each dotted key, with its type and what it expects.

`namespaces.<name>.level` and `users.<name>.password_hash` are fields too, whatever the name.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from chappe.config.settings import (
    IssuerSettings,
    LimitSettings,
    MqttBridgeSettings,
    NamespaceSettings,
    RedisBridgeSettings,
    Settings,
    UserSettings,
)

#: Tables whose keys are names that people choose, and what each of them holds.
NAMED: dict[str, type[msgspec.Struct]] = {
    "issuers": IssuerSettings,
    "mqtt_bridges": MqttBridgeSettings,
    "namespaces": NamespaceSettings,
    "redis_bridges": RedisBridgeSettings,
    "users": UserSettings,
}

#: Limits that 0 lifts; any other number below 1 would stop the hub from working.
ZERO_LIFTS = frozenset(
    {
        "address_connects_per_s",
        "address_messages_per_s",
        "connects_per_s",
        "loop_lag_s",
        "memory_bytes",
        "recovery_cache_bytes",
        "messages_per_s",
        "send_queue_messages",
        "user_messages_per_s",
    }
)

#: Keys whose values must not be shown.
SECRET_KEYS = frozenset({"password", "password_hash"})

Kind = Literal["whole", "number", "switch", "text", "list", "names", "choice"]


class Expected(msgspec.Struct, frozen=True):
    """Say what a value must be, in data, so that any language can word it."""

    kind: Kind
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind == "choice":
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        words = {
            "whole": "a whole number",
            "number": "a number",
            "switch": "true or false",
            "text": "text",
            "names": "text, or a list of texts",
        }
        name = words.get(self.kind, "a list of texts")
        if self.low is not None and self.high is not None:
            return f"{name} from {self.low:g} to {self.high:g}"
        return name if self.low is None else f"{name} of at least {self.low:g}"


class Field(msgspec.Struct, frozen=True):
    """Describe one setting.

    Attributes:
        section: such as `server` or `namespaces.chat`.
        key: such as `port`.
        type: the annotated type that `msgspec.convert` checks.
    """

    section: str
    key: str
    type: Any
    expected: Expected

    @property
    def name(self) -> str:
        """The dotted name, `server.port`."""
        return f"{self.section}.{self.key}"


def sections() -> dict[str, type[msgspec.Struct]]:
    """Return the fixed sections in their order; the named ones are in `NAMED`."""
    return {field.name: field.type for field in msgspec.structs.fields(Settings) if field.name not in NAMED}


def fields_of(section: str, struct: type[msgspec.Struct]) -> Iterator[Field]:
    """Yield the fields of one section, in their order."""
    for info in msgspec.structs.fields(struct):
        kind = _with_bounds(struct, info.name, info.type)
        yield Field(section, info.name, kind, _expected(kind))


def find(section: str, key: str) -> Field | None:
    """Return the field of a section, or None if the section or the key is unknown."""
    struct = section_type(section)
    if struct is None:
        return None
    return next((field for field in fields_of(section, struct) if field.key == key), None)


def section_type(section: str) -> type[msgspec.Struct] | None:
    """Return the Struct of a section: fixed, or a name under `namespaces` or `users`."""
    table, _, name = section.partition(".")
    return NAMED.get(table) if name else sections().get(table)


def _with_bounds(struct: type[msgspec.Struct], key: str, kind: Any) -> Any:
    """Give limits, which the model declares as bare numbers, their lower bound."""
    if struct is not LimitSettings or kind not in (int, float):
        return kind
    if key in ZERO_LIFTS:
        return Annotated[kind, msgspec.Meta(ge=0)]
    return Annotated[kind, msgspec.Meta(ge=1 if kind is int else 0.1)]


def _expected(kind: Any) -> Expected:
    info = msgspec.inspect.type_info(kind)
    match info:
        case msgspec.inspect.BoolType():
            return Expected("switch")
        case msgspec.inspect.IntType(ge=low, le=high):
            return Expected("whole", low, high)
        case msgspec.inspect.FloatType(ge=low, le=high):
            return Expected("number", low, high)
        case msgspec.inspect.LiteralType(values=values):
            return Expected("choice", choices=tuple(str(value) for value in values))
        case msgspec.inspect.VarTupleType():
            return Expected("list")
        case msgspec.inspect.UnionType():
            return Expected("names")
    return Expected("text")
