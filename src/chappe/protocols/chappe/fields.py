"""The members of each chappe.v1 message, for both encodings (spec/protocol.md, clause CH-4)."""

from collections.abc import Callable
from typing import Any

from chappe.model.member import Member
from chappe.model.publication import Sender
from chappe.model.timestamps import rfc3339
from chappe.protocols import base


def message_fields(message: base.Message) -> dict[str, Any] | None:
    """Return a message as the object that is sent, or None if chappe.v1 has no word for it."""
    writer = _WRITERS.get(type(message))
    return writer(message) if writer else None


def sender_fields(sender: Sender | None) -> dict[str, Any] | None:
    """Return the `from` of a publication."""
    return None if sender is None else {"user": sender.user, "name": sender.name, "session": sender.session}


def member_fields(member: Member) -> dict[str, Any]:
    """Return one member of a presence list."""
    fields = {"session": member.session, "user": member.user, "name": member.name}
    if member.info is not None:
        fields["info"] = member.info
    return fields


def _connected(message: base.Connected) -> dict[str, Any]:
    return _reply(
        message.id,
        session=message.session,
        resume=message.resume,
        user=message.user,
        name=message.name,
        ping=int(message.ping_s) if message.ping_s.is_integer() else message.ping_s,
        version=message.version,
        node=message.node,
        resumed=message.resumed,
    )


def _subscribed(message: base.Subscribed) -> dict[str, Any]:
    fields = _reply(message.id, channel=message.channel)
    if message.position is not None:
        fields["epoch"] = message.position.epoch
        fields["offset"] = message.position.offset
    else:
        fields["position"] = message.log_position
    fields["recovered"] = message.recovered
    return fields


def _presence_list(message: base.PresenceList) -> dict[str, Any]:
    members = [member_fields(member) for member in message.members]
    return _reply(message.id, channel=message.channel, members=members, count=message.count)


def _locked(message: base.Locked) -> dict[str, Any]:
    expires = None if message.expires_ms is None else rfc3339(message.expires_ms)
    return _reply(message.id, resource=message.resource, owner=message.owner, token=message.token, expires=expires)


def _failed(message: base.Failed) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": "error"}
    if message.id is not None:
        fields["id"] = message.id
    fields |= {"code": message.code, "reason": message.reason, "retry": message.retry}
    if message.detail:
        fields["detail"] = message.detail
    return fields


def _presence_state(message: base.PresenceState) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": "presence", "channel": message.channel}
    if message.members is not None:
        fields["members"] = [member_fields(member) for member in message.members]
    fields["count"] = message.count
    return fields


def _pong(message: base.Pong) -> dict[str, Any]:
    return {"type": "pong"} if message.id is None else {"type": "pong", "id": message.id}


def _reply(answered: int, **fields: Any) -> dict[str, Any]:
    return {"type": "reply", "id": answered, **fields}


_WRITERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    base.Connected: _connected,
    base.Subscribed: _subscribed,
    base.Published: lambda m: _reply(m.id, offset=m.offset, epoch=m.epoch),
    base.PresenceList: _presence_list,
    base.Locked: _locked,
    base.Unlocked: lambda m: _reply(m.id, resource=m.resource),
    base.LockOwned: lambda m: _reply(m.id, resource=m.resource, owner=m.owner),
    base.Result: lambda m: _reply(m.id, result=m.result),
    base.Done: lambda m: _reply(m.id),
    base.Failed: _failed,
    base.Joined: lambda m: {"type": "join", "channel": m.channel, "member": member_fields(m.member)},
    base.Left: lambda m: {"type": "leave", "channel": m.channel, "member": member_fields(m.member)},
    base.PresenceState: _presence_state,
    base.Unsubscribed: lambda m: {"type": "unsubscribed", "channel": m.channel, "code": m.code, "reason": m.reason},
    base.Missed: lambda m: {"type": "missed", "channel": m.channel, "count": m.count},
    base.Pong: _pong,
}
