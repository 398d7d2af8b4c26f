"""Messages as classic says them (spec/protocol.md, clauses CL-4 to CL-9)."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from chappe.model.error_codes import Code
from chappe.model.frame import Frame
from chappe.model.publication import Kind, Publication
from chappe.model.timestamps import classic_timestamp
from chappe.protocols import base

_encode = msgspec.json.encode


class ClassicEncoder:
    """Encodes classic; shared by all its connections."""

    name = "classic"
    wants_names = True

    def publication(self, publication: Publication) -> Frame:
        """Encode a publication of the room as a message; raw binary passes unchanged."""
        if publication.kind is Kind.BINARY:
            return Frame(publication.payload, False, publication.channel)
        return Frame(_encode(_message(publication)), True, publication.channel)

    def message(self, message: base.Message) -> Frame | None:
        """Encode a message; most answers have no word in classic."""
        if isinstance(message, base.Joined | base.Left) and not message.member.name:
            # Who has no name is no member of the conversation: a dashboard, a device.
            return None
        writer = _WRITERS.get(type(message))
        return Frame(_encode(writer(message)), True) if writer else None


def _message(publication: Publication) -> dict[str, Any]:
    """Return what a member of the room sees; `username` is the session's own, whatever the data says."""
    value = publication.as_value()
    said: Mapping[str, Any] = value if isinstance(value, dict) and value.get("type") == "message" else {}
    content = said.get("content") if said else value
    sender = publication.sender
    username = sender.name or sender.session if sender else said.get("username", "")
    fields = {
        "type": "message",
        "content": content if isinstance(content, str) else _encode(content).decode(),
        "username": username if isinstance(username, str) else "",
        "timestamp": classic_timestamp(publication.time_ms),
    }
    if isinstance(said.get("sent"), str):
        fields["sent"] = said["sent"]
    return fields


def _failed(message: base.Failed) -> dict[str, Any]:
    if message.code == Code.LOCKED_BY_ANOTHER:
        owner = message.detail.get("owner", "")
        return {"type": "lock_result", "resource": message.detail["resource"], "status": "denied", "owner": owner}
    fields: dict[str, Any] = {"type": "error", "content": message.reason, "code": message.code}
    if "requestId" in message.detail:
        fields["requestId"] = message.detail["requestId"]
    return fields


def _locked(message: base.Locked) -> dict[str, Any]:
    fields = {"type": "lock_result", "resource": message.resource, "status": "acquired"}
    if message.completed:
        fields["operation"] = "completed"
    return fields


_WRITERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    base.Joined: lambda m: {"type": "join", "username": m.member.name},
    base.Left: lambda m: {"type": "leave", "username": m.member.name},
    base.Names: lambda m: {"type": "userlist", "users": list(m.names)},
    base.Failed: _failed,
    base.Locked: _locked,
    base.Unlocked: lambda m: {"type": "lock_result", "resource": m.resource, "status": "released"},
    base.LockOwned: lambda m: {"type": "lock_result", "resource": m.resource, "owner": m.owner},
    base.Direct: lambda m: {"type": "direct", "data": msgspec.Raw(m.payload)},
    base.Missed: lambda m: {"type": "missed", "count": m.count},
    base.Pong: lambda m: {"type": "pong"},
}
