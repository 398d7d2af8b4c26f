"""Name what can happen in a conversation with a WebSocket server, as values that every view shows its own way."""

import base64
import datetime
from typing import Any, Literal

import msgspec

Kind = Literal[
    "connecting",
    "connected",
    "reconnecting",
    "disconnected",
    "gave_up",
    "sent",
    "received",
    "said",
    "joined",
    "left",
    "present",
    "pong",
    "notice",
    "error",
]


class Happening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a conversation; what a kind does not use stays at its default.

    Attributes:
        text: what was sent, received, said, or is to be told.
        data: a binary frame instead of text.
        who: the speaker, or who joins or leaves.
        names: who is there.
        code, reason: of a close or an error.
        n, of: the attempt, and how many there will be (0: no end).
        latency_ms: of a ping.
        url, protocol: where, and the subprotocol spoken.
    """

    kind: Kind
    time: datetime.datetime
    text: str = ""
    data: bytes | None = None
    who: str = ""
    names: tuple[str, ...] = ()
    code: int = 0
    reason: str = ""
    n: int = 0
    of: int = 0
    latency_ms: float | None = None
    url: str = ""
    protocol: str = ""


def as_json(happening: Happening) -> dict[str, Any]:
    """Return a happening as programs read it; bytes as base64."""
    fields = {name: getattr(happening, name) for name in happening.__struct_fields__}
    defaults = {field.name: field.default for field in msgspec.structs.fields(Happening)}
    moment = happening.time.astimezone(datetime.UTC)
    line: dict[str, Any] = {"event": happening.kind, "time": f"{moment:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"}
    for name, value in fields.items():
        if name not in ("kind", "time", "data") and value != defaults[name]:
            line[name] = value
    if happening.data is not None:
        line["base64"] = base64.b64encode(happening.data).decode("ascii")
    elif happening.kind in ("sent", "received", "said"):
        line["text"] = happening.text
    return line


def preview(data: bytes, limit: int = 16) -> str:
    """Return the first bytes of a binary frame in hexadecimal."""
    return data[:limit].hex(" ") + (" …" if len(data) > limit else "")
