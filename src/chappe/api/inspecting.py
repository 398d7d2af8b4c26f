"""`channels`, `connections`, `locks` and `info`: what this node of the hub is doing."""

import heapq
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from chappe.api.commands import EITHER, OPERATOR, After, Asked, Call, Command, Limit, Told
from chappe.hub.channels import Channel
from chappe.hub.contracts import CountingLink
from chappe.hub.locks import Grant
from chappe.hub.permissions import Action
from chappe.hub.session import Session
from chappe.model.channels import check_pattern, is_pattern, pattern_matches
from chappe.model.timestamps import rfc3339

_Next = Annotated[str | None, msgspec.Meta(description="`after` of the next page; null: this is the last one.")]


class ChannelsRequest(Asked, frozen=True, kw_only=True):
    """List channels that have subscribers on this node, by name."""

    pattern: Annotated[str, msgspec.Meta(description="Only channels that match it, such as `chat/#`.")] = "#"
    limit: Limit = 100
    after: After = ""


class ChannelEntry(Told, frozen=True, kw_only=True):
    """A channel or pattern with subscribers; `members` is null for patterns and where no presence is kept."""

    channel: str
    namespace: str
    pattern: bool
    subscribers: int
    members: int | None


class ChannelsAnswer(Told, frozen=True, kw_only=True):
    """A page of channels; `total` counts all that match."""

    channels: list[ChannelEntry]
    total: int
    next: _Next


class ConnectionsRequest(Asked, frozen=True, kw_only=True):
    """List sessions on this node, by id."""

    user: Annotated[str | None, msgspec.Meta(description="Only those of this user.")] = None
    channel: Annotated[str | None, msgspec.Meta(description="Only those subscribed to this channel or pattern.")] = None
    limit: Limit = 100
    after: After = ""


class ConnectionEntry(Told, frozen=True, kw_only=True):
    """A session and its connection; ages in seconds; traffic is null where the carrier does not count it."""

    session: str
    user: str | None
    name: str
    address: str
    carrier: str
    protocol: str
    channels: list[str]
    age_s: float
    idle_s: float
    background: bool
    queued_bytes: int
    bytes_in: int | None
    bytes_out: int | None
    messages_in: int | None
    messages_out: int | None


class ConnectionsAnswer(Told, frozen=True, kw_only=True):
    """A page of sessions; `total` counts all that match."""

    connections: list[ConnectionEntry]
    total: int
    next: _Next


class LocksRequest(Asked, frozen=True, kw_only=True):
    """List locks, by resource."""

    limit: Limit = 100
    after: After = ""


class LockEntry(Told, frozen=True, kw_only=True):
    """A lock that is held; `owner` is a session, `expires` null where it has no lease."""

    resource: str
    owner: str
    token: int
    expires: str | None
    waiting: int


class LocksAnswer(Told, frozen=True, kw_only=True):
    """A page of locks."""

    locks: list[LockEntry]
    total: int
    next: _Next


class InfoRequest(Asked, frozen=True, kw_only=True):
    """Ask how this node is."""


class InfoAnswer(Told, frozen=True, kw_only=True):
    """How this node is: what there is now, and totals since the start."""

    version: str
    node: str
    uptime_s: float
    broker: str
    sessions: int
    users: int
    channels: int
    locks: int
    totals: dict[str, int]
    errors: dict[str, int]


def channels(call: Call, request: ChannelsRequest) -> ChannelsAnswer:
    """List channels."""
    call.hub.permissions.authorize(call.actor, Action.INSPECT, "channels")
    check_pattern(request.pattern, call.hub.limits.channel_bytes)
    everything = request.pattern == "#"
    found = {
        channel.name: channel
        for channel in call.hub.channels.all(None)
        if everything or channel.name == request.pattern or pattern_matches(request.pattern, channel.name)
    }
    names, following = page(found, request.after, request.limit)
    entries = [_channel_entry(found[name]) for name in names]
    return ChannelsAnswer(channels=entries, total=len(found), next=following)


def connections(call: Call, request: ConnectionsRequest) -> ConnectionsAnswer:
    """List sessions."""
    call.hub.permissions.authorize(call.actor, Action.INSPECT, "connections")
    found = {
        session.id: session
        for session in call.hub.sessions.values()
        if (request.user is None or session.user == request.user)
        and (request.channel is None or request.channel in session.subscriptions)
    }
    names, following = page(found, request.after, request.limit)
    now = call.hub.clock.now()
    entries = [_connection_entry(found[name], now) for name in names]
    return ConnectionsAnswer(connections=entries, total=len(found), next=following)


def locks(call: Call, request: LocksRequest) -> LocksAnswer:
    """List locks."""
    call.hub.permissions.authorize(call.actor, Action.INSPECT, "locks")
    table = call.hub.locking.table
    now, wall_ms = call.hub.clock.now(), call.hub.clock.wall_ms()
    found = {grant.resource: grant for grant in table if table.holder(grant.resource, now) is not None}
    names, following = page(found, request.after, request.limit)
    entries = [_lock_entry(found[name], len(table.waiters(name)), now, wall_ms) for name in names]
    return LocksAnswer(locks=entries, total=len(found), next=following)


def info(call: Call, request: InfoRequest) -> InfoAnswer:
    """Count what there is."""
    hub = call.hub
    hub.permissions.authorize(call.actor, Action.INSPECT, "info")
    return InfoAnswer(
        version=hub.version,
        node=hub.node,
        uptime_s=round(call.uptime_s, 3),
        broker=hub.broker.name,
        sessions=len(hub.sessions),
        users=len({session.user for session in hub.sessions.values() if session.user is not None}),
        channels=len(hub.channels),
        locks=len(hub.locking.table),
        totals=hub.counters.totals(),
        errors={str(code): count for code, count in sorted(hub.counters.errors.items())},
    )


def page(names: Iterable[str], after: str, limit: int) -> tuple[list[str], str | None]:
    """Return the names after one, in order, and where the next page begins.

    A page is right whatever came and went since the one before: nothing that stayed is left out or shown twice.
    """
    # One more than is shown tells whether there is more.
    found = heapq.nsmallest(limit + 1, (name for name in names if name > after))
    return found[:limit], found[limit - 1] if len(found) > limit else None


def _channel_entry(channel: Channel) -> ChannelEntry:
    pattern = is_pattern(channel.name)
    return ChannelEntry(
        channel=channel.name,
        namespace=channel.namespace.name,
        pattern=pattern,
        subscribers=len(channel.subscriptions),
        members=None if pattern or channel.presence is None else len(channel.presence),
    )


def _connection_entry(session: Session, now: float) -> ConnectionEntry:
    link = session.link
    counting = link if isinstance(link, CountingLink) else None
    return ConnectionEntry(
        session=session.id,
        user=session.user,
        name=session.name,
        address=session.peer.address,
        carrier=session.peer.carrier,
        protocol=session.protocol.encoder.name,
        channels=list(session.subscriptions),
        age_s=round(now - session.opened_at, 3),
        idle_s=round(now - session.last_activity, 3),
        background=session.background,
        queued_bytes=link.queued_bytes,
        bytes_in=counting.bytes_in if counting is not None else None,
        bytes_out=counting.bytes_out if counting is not None else None,
        messages_in=counting.messages_in if counting is not None else None,
        messages_out=counting.messages_out if counting is not None else None,
    )


def _lock_entry(grant: Grant, waiting: int, now: float, wall_ms: int) -> LockEntry:
    expires = None if grant.expires_at is None else rfc3339(wall_ms + round((grant.expires_at - now) * 1_000))
    return LockEntry(resource=grant.resource, owner=grant.owner, token=grant.token, expires=expires, waiting=waiting)


COMMANDS: Final = (
    Command("channels", "List channels with subscribers.", ChannelsRequest, ChannelsAnswer, channels, EITHER, True),
    Command("connections", "List sessions.", ConnectionsRequest, ConnectionsAnswer, connections, OPERATOR, True),
    Command("locks", "List locks.", LocksRequest, LocksAnswer, locks, EITHER, True),
    Command("info", "Tell how this node is.", InfoRequest, InfoAnswer, info, EITHER, True),
)
