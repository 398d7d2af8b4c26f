"""Show happenings where there is no terminal: plain lines for pipes, or one JSON object for each."""

import json
import sys
from typing import Protocol

from chappe.cli.connect.happenings import Happening, as_json, preview
from chappe.cli.texts import T
from chappe.telemetry import escape

_CUT = 1006
_NORMAL = 1000


class View(Protocol):
    """What the conversation asks of a way to show it; `pretty` lays JSON out over several lines."""

    pretty: bool

    def show(self, happening: Happening) -> None:
        """Show one happening, at once."""


class JsonView:
    """Write one JSON object a line to standard output."""

    pretty = False

    def show(self, happening: Happening) -> None:
        """Write it."""
        sys.stdout.write(json.dumps(as_json(happening), ensure_ascii=False) + "\n")
        sys.stdout.flush()


class PlainView:
    """Write what arrives to standard output and everything else to standard error.

    A text frame is one line; a binary frame is written as it is, so that `> file` keeps it. On a terminal control
    characters are escaped: a server must not move somebody's cursor.
    """

    def __init__(self, *, pretty: bool = False) -> None:
        self.pretty = pretty
        self._terminal = sys.stdout.isatty()

    def show(self, happening: Happening) -> None:
        """Write it where it belongs."""
        match happening.kind:
            case "received" if happening.data is not None and not self._terminal:
                sys.stdout.buffer.write(happening.data)
                sys.stdout.buffer.flush()
            case "received" | "said":
                lines = lay_out(happening.text).split("\n") if self.pretty else [describe(happening)]
                shown = [escape(line) for line in lines] if self._terminal else lines
                # Through the buffer: frames are UTF-8 whatever the locale says.
                sys.stdout.buffer.write(("\n".join(shown) + "\n").encode("utf-8", "surrogateescape"))
                sys.stdout.buffer.flush()
            case "sent" | "pong":
                return
            case _:
                sys.stderr.write(escape(describe(happening)) + "\n")


def describe(happening: Happening) -> str:
    """Return a happening as a person reads it, without its time."""
    match happening.kind:
        case "connecting":
            return T["state_connecting"].format(url=happening.url)
        case "connected":
            protocol = happening.protocol
            return T["state_connected_as"].format(protocol=protocol) if protocol else T["state_connected"]
        case "reconnecting":
            text = T["state_reconnecting"] if happening.of else T["state_reconnecting_on"]
            return text.format(n=happening.n, of=happening.of)
        case "disconnected":
            named = {_NORMAL: T["close_normal"], _CUT: T["close_cut"]}
            reason = happening.reason or named.get(happening.code, "")
            return T["state_disconnected"].format(code=happening.code, reason=reason).rstrip()
        case "gave_up":
            return T["state_gave_up"].format(reason=happening.reason)
        case "said":
            return f"{happening.who}: {happening.text}"
        case "joined":
            return T["said_joined"].format(who=happening.who)
        case "left":
            return T["said_left"].format(who=happening.who)
        case "present":
            return T["said_present"].format(names=", ".join(happening.names))
        case "pong":
            return T["said_pong"].format(ms=happening.latency_ms or 0.0)
    if happening.data is not None:
        return T["said_binary"].format(count=len(happening.data), preview=preview(happening.data)).rstrip(": ")
    return happening.text


def lay_out(text: str) -> str:
    """Return JSON over several lines; anything else as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return json.dumps(value, ensure_ascii=False, indent=2) if isinstance(value, dict | list) else text
