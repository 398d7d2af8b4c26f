"""The byte vectors of spec/vectors, and what they say in terms of this package; clients/js tests read the same."""

import json
from pathlib import Path
from typing import Any

import msgspec

from chappe.model.position import Position
from chappe.model.publication import Kind, Publication, Sender
from chappe.protocols import base

FOLDER = Path(__file__).resolve().parents[2] / "spec" / "vectors"
KINDS = {"json": Kind.JSON, "text": Kind.TEXT, "binary": Kind.BINARY}

#: What vectors call commands whose type is no tagged message of chappe.v1.
NAMES = {
    base.Login: "login",
    base.Publish: "publish",
    base.ListNames: "list_names",
    base.LockOwner: "lock_owner",
    base.ServiceRequest: "service_request",
}


def load(name: str) -> list[dict[str, Any]]:
    """Return the vectors of a file."""
    vectors: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))["vectors"]
    return vectors


def title(vector: dict[str, Any]) -> str:
    """Return how a vector is called in the output of a test run, its clause first."""
    return f"{vector['clause'].lower().replace('-', '_').replace('.', '_')} {vector['name']}"


def meaning(command: base.Command) -> dict[str, Any]:
    """Return a command as the vectors write it."""
    if isinstance(command, base.Rejected):
        error = {"code": command.error.code, "id": command.id, "field": command.error.detail.get("field")}
        return {"error": error}
    fields: dict[str, Any] = {"type": NAMES.get(type(command), ""), **as_json(command)}
    if isinstance(command, base.Publish):
        fields["kind"] = command.kind.name.lower()
        fields["payload_hex"] = command.payload.hex()
        fields["payload"] = command.payload.decode("utf-8", "replace")
    return fields


def as_json(value: object) -> dict[str, Any]:
    """Return a struct as JSON shows it."""
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return fields


def same(expected: Any, actual: Any) -> bool:
    """Tell whether everything that is expected is there; members that a vector does not list may be anything."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            name in actual and same(value, actual[name]) for name, value in expected.items()
        )
    # To Python True is 1 and 25 is 25.0: only the former is a mistake in a message.
    return isinstance(expected, bool) is isinstance(actual, bool) and bool(expected == actual)


def message_of(fields: dict[str, Any]) -> base.Message | Publication:
    """Return the message that a vector describes; `is` names its class."""
    given = {name: value for name, value in fields.items() if name != "is"}
    if fields["is"] == "Publication":
        return publication_of(given)
    if fields["is"] == "Direct":
        return base.Direct(given["payload"].encode())
    if fields["is"] == "HistoryPage":
        given["publications"] = [publication_of(item) for item in given["publications"]]
        given["position"] = msgspec.convert(given["position"], Position)
        return base.HistoryPage(**given)
    message: base.Message = msgspec.convert(given, getattr(base, fields["is"]))
    return message


def publication_of(fields: dict[str, Any]) -> Publication:
    """Return the publication that a vector describes."""
    given = dict(fields)
    text, raw = given.pop("payload", None), given.pop("payload_hex", None)
    given["payload"] = bytes.fromhex(raw) if raw is not None else text.encode()
    given["kind"] = KINDS[given["kind"]]
    given["sender"] = Sender(**given["sender"]) if given["sender"] else None
    return Publication(**given)
