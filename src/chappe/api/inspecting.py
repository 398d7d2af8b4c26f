"""`channels`, `connections`, `locks` and `info`: what the nodes of the hub are doing."""

import functools
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from chappe.api.commands import EITHER, OPERATOR, After, Asked, Call, Command, Limit, Told
from chappe.api.waiting import Waiting
from chappe.hub.channels import Channel
from chappe.hub.cluster import Cluster
from chappe.hub.cluster.bus import Tell
from chappe.hub.contracts import CountingLink
from chappe.hub.hub import HubCore
from chappe.hub.locks import Grant
from chappe.hub.permissions import Action
from chappe.hub.session import Session
from chappe.model.channels import check_pattern, is_pattern, pattern_matches
from chappe.model.timestamps import rfc3339

T = TypeVar("T")

_Next = Annotated[str | None, msgspec.Meta(description="`after` of the next page; null: this is the last one.")]


class ChannelsRequest(Asked, frozen=True, kw_only=True):
    """List channels that have subscribers, by name."""

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
    """A page of channels; `total` counts all that match, one on several nodes once for each that told of it."""

    channels: list[ChannelEntry]
    total: int
    next: _Next


class ConnectionsRequest(Asked, frozen=True, kw_only=True):
    """List sessions, by id."""

    user: Annotated[str | None, msgspec.Meta(description="Only those of this user.")] = None
    channel: Annotated[str | None, msgspec.Meta(description="Only those subscribed to this channel or pattern.")] = None
    limit: Limit = 100
    after: After = ""


class ConnectionEntry(Told, frozen=True, kw_only=True):
    """A session and its connection; ages in seconds; traffic is null where the carrier does not count it."""

    session: str
    node: str
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
    nodes: list[str]
    uptime_s: float
    broker: str
    sessions: int
    users: int
    channels: int
    locks: int
    totals: dict[str, int]
    errors: dict[str, int]


def channels(call: Call, request: ChannelsRequest) -> ChannelsAnswer | Waiting[ChannelsAnswer]:
    """List channels."""
    call.hub.permissions.authorize(call.actor, Action.INSPECT, "channels")
    check_pattern(request.pattern, call.hub.limits.channel_bytes)

    def joined(pages: list[ChannelsAnswer]) -> ChannelsAnswer:
        found: dict[str, ChannelEntry] = {}
        for each in (entry for answer in pages for entry in answer.channels):
            known = found.get(each.channel)
            if known is not None:
                each = msgspec.structs.replace(each, subscribers=known.subscribers + each.subscribers)
            found[each.channel] = each
        names, following = page(found, request.after, request.limit)
        total = max(len(found), *(answer.total for answer in pages))
        return ChannelsAnswer(channels=[found[name] for name in names], total=total, next=_next(pages, following))

    return _everywhere(call.hub, "api.channels", request, channels_here, ChannelsAnswer, joined)


def channels_here(hub: HubCore, request: ChannelsRequest) -> ChannelsAnswer:
    """List channels with subscribers on this node."""
    everything = request.pattern == "#"
    found = {
        channel.name: channel
        for channel in hub.channels.all(None)
        if everything or channel.name == request.pattern or pattern_matches(request.pattern, channel.name)
    }
    names, following = page(found, request.after, request.limit)
    entries = [_channel_entry(found[name]) for name in names]
    return ChannelsAnswer(channels=entries, total=len(found), next=following)


def connections(call: Call, request: ConnectionsRequest) -> ConnectionsAnswer | Waiting[ConnectionsAnswer]:
    """List sessions."""
    call.hub.permissions.authorize(call.actor, Action.INSPECT, "connections")

    def joined(pages: list[ConnectionsAnswer]) -> ConnectionsAnswer:
        found = {entry.session: entry for answer in pages for entry in answer.connections}
        names, following = page(found, request.after, request.limit)
        total = sum(answer.total for answer in pages)
        return ConnectionsAnswer(connections=[found[name] for name in names], total=total, next=_next(pages, following))

    return _everywhere(call.hub, "api.connections", request, connections_here, ConnectionsAnswer, joined)


def connections_here(hub: HubCore, request: ConnectionsRequest) -> ConnectionsAnswer:
    """List the sessions of this node."""
    found = {
        session.id: session
        for session in hub.sessions.values()
        if (request.user is None or session.user == request.user)
        and (request.channel is None or request.channel in session.subscriptions)
    }
    names, following = page(found, request.after, request.limit)
    now = hub.clock.now()
    entries = [_connection_entry(found[name], now) for name in names]
    return ConnectionsAnswer(connections=entries, total=len(found), next=following)


def locks(call: Call, request: LocksRequest) -> LocksAnswer | Waiting[LocksAnswer]:
    """List locks."""
    call.hub.permissions.authorize(call.actor, Action.INSPECT, "locks")

    def joined(pages: list[LocksAnswer]) -> LocksAnswer:
        found = {entry.resource: entry for answer in pages for entry in answer.locks}
        names, following = page(found, request.after, request.limit)
        total = sum(answer.total for answer in pages)
        return LocksAnswer(locks=[found[name] for name in names], total=total, next=_next(pages, following))

    return _everywhere(call.hub, "api.locks", request, locks_here, LocksAnswer, joined)


def locks_here(hub: HubCore, request: LocksRequest) -> LocksAnswer:
    """List the locks of this node's sessions."""
    now, wall_ms = hub.clock.now(), hub.clock.wall_ms()
    found = {grant.resource: (grant, waiting) for grant, waiting in hub.locking.grants(now)}
    names, following = page(found, request.after, request.limit)
    entries = [_lock_entry(*found[name], now, wall_ms) for name in names]
    return LocksAnswer(locks=entries, total=len(found), next=following)


def info(call: Call, request: InfoRequest) -> InfoAnswer:
    """Count what there is."""
    hub = call.hub
    hub.permissions.authorize(call.actor, Action.INSPECT, "info")
    return InfoAnswer(
        version=hub.version,
        node=hub.node,
        nodes=sorted({hub.node, *(hub.cluster.nodes.others if hub.cluster is not None else ())}),
        uptime_s=round(call.uptime_s, 3),
        broker=hub.broker.name,
        sessions=len(hub.sessions),
        users=len({session.user for session in hub.sessions.values() if session.user is not None}),
        channels=len(hub.channels),
        locks=len(hub.locking.grants(hub.clock.now())),
        totals=hub.counters.totals(),
        errors={str(code): count for code, count in sorted(hub.counters.errors.items())},
    )


def answer_nodes(hub: HubCore, cluster: Cluster) -> None:
    """Answer what other nodes ask about this one."""
    for kind, asked, here in (
        ("api.channels", ChannelsRequest, channels_here),
        ("api.connections", ConnectionsRequest, connections_here),
        ("api.locks", LocksRequest, locks_here),
    ):
        cluster.bus.on(kind, functools.partial(_answer_node, hub, here), asked)


def _answer_node(hub: HubCore, here: Any, sender: str, body: Any, answer: Tell) -> None:
    answer(here(hub, body))


def _everywhere(
    hub: HubCore, kind: str, request: Any, here: Any, told: type[T], joined: Callable[[list[T]], T]
) -> T | Waiting[T]:
    """Ask all nodes for a page and join them; a node that does not answer is left out."""
    own: T = here(hub, request)
    if hub.cluster is None or not hub.cluster.nodes.others:
        return own
    waiting: Waiting[T] = Waiting()

    def answered(answers: Mapping[str, Any]) -> None:
        if not waiting.done():
            waiting.set_result(joined([own, *answers.values()]))

    hub.cluster.bus.ask(kind, request, hub.cluster.nodes.others, answered, of=told)
    return waiting


def _next(pages: Sequence[Any], following: str | None) -> str | None:
    """Return where the next page begins: not behind what a node has not told yet."""
    ends = [answer.next for answer in pages if answer.next is not None]
    return min([following, *ends] if following is not None else ends, default=None)


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
        node=session.hub.node,
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
