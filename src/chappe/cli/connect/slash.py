"""Read what a person types: text, or a command that begins with a slash. No I/O."""

from typing import Literal, TypeAlias

import msgspec

from chappe.cli.texts import T

#: Longest close reason that fits in a control frame (RFC 6455, 5.5).
REASON_BYTES = 123


class Say(msgspec.Struct, frozen=True):
    """Send this text."""

    text: str


class SendBinary(msgspec.Struct, frozen=True):
    """Send these bytes as one binary frame."""

    data: bytes


class SendFile(msgspec.Struct, frozen=True):
    """Send this file as one binary frame."""

    path: str


class Close(msgspec.Struct, frozen=True):
    """Close the connection and stay."""

    code: int
    reason: str


class Do(msgspec.Struct, frozen=True):
    """Do what needs no argument."""

    what: Literal["help", "quit", "ping", "open", "pretty"]


class Wrong(msgspec.Struct, frozen=True):
    """Tell the person what was wrong with the command."""

    text: str


Typed: TypeAlias = Say | SendBinary | SendFile | Close | Do | Wrong

#: The commands and what `/help` says about them.
COMMANDS = {
    "/help": T["slash_help_help"],
    "/ping": T["slash_help_ping"],
    "/binary HEX": T["slash_help_binary"],
    "/file PATH": T["slash_help_file"],
    "/pretty": T["slash_help_pretty"],
    "/close [CODE [REASON]]": T["slash_help_close"],
    "/open": T["slash_help_open"],
    "/quit": T["slash_help_quit"],
}


def read(line: str) -> Typed | None:
    """Return what a line asks for; None for a blank line, which is not sent. `//x` says `/x`."""
    if not line.strip():
        return None
    if line.startswith("//"):
        return Say(line[1:])
    if not line.startswith("/"):
        return Say(line)
    name, _, rest = line[1:].partition(" ")
    match name:
        case "help" | "quit" | "ping" | "open" | "pretty":
            return Do(name)
        case "binary":
            return _binary(rest)
        case "file":
            return SendFile(rest.strip()) if rest.strip() else Wrong(T["slash_path"])
        case "close":
            return _close(rest.strip())
    return Wrong(T["slash_unknown"].format(name=f"/{name}", rest=line[1:]))


def _binary(digits: str) -> Typed:
    try:
        return SendBinary(bytes.fromhex(digits))
    except ValueError:
        return Wrong(T["slash_hex"])


def _close(rest: str) -> Typed:
    code_text, _, reason = rest.partition(" ")
    code = int(code_text) if code_text.isascii() and code_text.isdigit() else 0 if code_text else 1000
    if code != 1000 and not 3000 <= code <= 4999:
        return Wrong(T["slash_code"])
    if len(reason.encode()) > REASON_BYTES:
        return Wrong(T["slash_reason"])
    return Close(code, reason.strip())
