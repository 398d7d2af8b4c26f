"""The hub: sessions, channels and the rules between them, without I/O."""

import traceback
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from chappe.hub.authentication import Authentication
from chappe.hub.bridges import Reporting
from chappe.hub.calling import Calling
from chappe.hub.channels import Channels
from chappe.hub.cluster import Cluster
from chappe.hub.connecting import Connecting, Resumption
from chappe.hub.contracts import (
    Append,
    Audit,
    Authenticator,
    Broker,
    Clock,
    Link,
    Log,
    Outcome,
    Random,
    ReadResult,
    Spawn,
)
from chappe.hub.counters import Counters
from chappe.hub.delivery import Delivery, Follower
from chappe.hub.expiry import Expiry
from chappe.hub.fanout import LinkSet, MakeAudience
from chappe.hub.hooks import Hook, Hooks
from chappe.hub.locking import Locking
from chappe.hub.names import NameRegistry
from chappe.hub.namespaces import Level, Namespace, Namespaces
from chappe.hub.permissions import Action, Actor, Permissions
from chappe.hub.publishing import Publishing, check_payload
from chappe.hub.quotas import ChannelQuotas, Excess, Quotas
from chappe.hub.rate_limit import Pace
from chappe.hub.reading import Reading, history_error, history_page, history_request
from chappe.hub.recovery import Recovery
from chappe.hub.resident import Resident
from chappe.hub.revocation import Entry, Revocations
from chappe.hub.rooms import Rooms
from chappe.hub.seats import Seats, address_group
from chappe.hub.session import Handler, Peer, Session
from chappe.hub.subscribing import Subscribing
from chappe.hub.subscription import Stage
from chappe.model.channels import check_channel
from chappe.model.error_codes import ERRORS, Code
from chappe.model.errors import ChappeError, ConfigurationError
from chappe.model.limits import Limits
from chappe.model.member import Member
from chappe.model.position import Position
from chappe.protocols import base
from chappe.protocols.base import Encoder, ServerProtocol

#: Bytes of a public id: 80 bits, so that nobody meets or guesses one.
_ID_BYTES: Final = 10
#: A handle has 128 random bits.
_HANDLE_BYTES: Final = 16
#: Channel names known to be valid; above, all are forgotten.
_KNOWN_CHANNELS: Final = 8_192


class HubOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a hub is made of.

    Attributes:
        anonymous: sessions without credentials are let in.
        authenticator: verifies tokens; None: all tokens are refused.
        spawn: runs the awaitables of hooks.
        reserved_names: known users; nobody may claim their names, whether they are here or not.
        version, node: told to clients.
        audit: notes refusals; None: nobody wants to know.
        make_audience: how links that get the same frames are kept; native code has its own.
    """

    broker: Broker
    clock: Clock
    random: Random
    spawn: Spawn
    log: Log
    limits: Limits = Limits()
    namespaces: Namespaces
    anonymous: bool = False
    authenticator: Authenticator | None = None
    reserved_names: Collection[str] = ()
    version: str = ""
    node: str = ""
    audit: Audit | None = None
    make_audience: MakeAudience = LinkSet


class HubCore:
    """The domain. One thread (the event loop's) calls everything here; nothing blocks and nothing awaits.

    Carriers call `open` for each connection and then the session it returns; backends call the methods below, after
    `permissions.authorize`.

    Attributes:
        quotas: rates of users and addresses; None: there are none, and nobody asks.
        strangers: sessions that have not said who they are, by address.
        bridges: ways to other systems, which tell how they are.
        retention: tells under which options a publication of a channel is stored, where sessions outlive their
            connections; None: those of its namespace.
        followers: who takes what comes in a channel of the hub's own, by its name.
    """

    error_codes = ERRORS

    def __init__(self, options: HubOptions) -> None:
        """Put the hub together.

        Raises:
            ConfigurationError: a namespace promises more than the broker can keep.
        """
        self.broker = options.broker
        self.clock = options.clock
        self.random = options.random
        self.log = options.log
        self.limits = options.limits
        self.namespaces = options.namespaces
        self.revocations = Revocations()
        self.version = options.version
        self.node = options.node
        self.audit = options.audit
        _check_levels(options.namespaces, options.broker)
        self.counters = Counters()
        self.pace = Pace(options.limits.messages_per_s, options.limits.messages_burst)
        quotas = Quotas(options.limits)
        self.quotas = quotas if quotas.is_needed else None
        self.channel_quotas = ChannelQuotas()
        self.strangers = Seats()
        self.permissions = Permissions(options.namespaces, options.anonymous)
        self.hooks = Hooks(options.spawn)
        self.sessions: dict[str, Session] = {}
        self.bridges: list[Reporting] = []
        self.names: NameRegistry[Session] = NameRegistry()
        self.names.reserve(options.reserved_names)
        self.channels = Channels(options.namespaces, options.broker, options.make_audience)
        self.expiry = Expiry(self)
        self.rooms = Rooms(self)
        self.cluster = Cluster(self) if options.broker.shared else None
        self.authenticator = options.authenticator
        self.authentication = Authentication(self)
        self.recovery = Recovery(self)
        self.delivery = Delivery(self)
        self.connecting = Connecting(self)
        self.resumption = Resumption(self)
        self.subscribing = Subscribing(self)
        self.publishing = Publishing(self)
        self.reading = Reading(self)
        self.locking: Locking = self.cluster.locking if self.cluster is not None else Locking(self)
        self.calling = Calling(self)
        self.handlers: dict[type, Handler] = self._make_handlers()
        # Where one message makes much work, between its pieces: those who ask for little have a turn.
        self.breathe: Callable[[], None] = _nothing
        self.make_handle: Callable[[Session], Any] = lambda session: session
        self.retention: Callable[[str, Namespace], Namespace] | None = None
        self.followers: dict[str, Follower] = {}
        self._known_channels: set[str] = set()

    # --- Carriers ----------------------------------------------------------------------------------------------------

    def open(self, link: Link, protocol: ServerProtocol, peer: Peer) -> Session:
        """Begin a session for a new connection."""
        session = Session(self, link, protocol, peer, self.random(_ID_BYTES).hex())
        self.sessions[session.id] = session
        self.strangers.take(peer.address)
        self.counters.connections += 1
        self.log("INFO", "session %s connects from %s", session.id, peer.address or f"inside ({peer.carrier})")
        link.limit(protocol.frame_bytes[0])
        channel = protocol.joins_at_once()
        if channel is not None:
            self.connecting.connect_implicitly(session, base.Subscribe(0, channel))
        return session

    def relink(self, session: Session, link: Link, protocol: ServerProtocol | None = None) -> None:
        """Let a session speak over another link from now on, and in another protocol if one is given.

        What the old one was given is the old one's to send.
        """
        old, session.link = session.link, link
        session.outlet = link
        old_encoder = session.protocol.encoder
        if protocol is not None:
            session.protocol = protocol
            link.limit(protocol.frame_bytes[1])
        encoder = session.protocol.encoder
        for subscription in session.subscriptions.values():
            channel = self.channels.find(subscription)
            if channel is None:
                continue
            if subscription.stage is Stage.LIVE and not (session.background and channel.namespace.ephemeral):
                channel.audience.discard(old_encoder, old)
                channel.audience.add(encoder, link)
            if subscription.watches:
                channel.watchers.discard(old_encoder, old)
                channel.watchers.add(encoder, link)

    def reroute(self, session: Session, outlet: Link, encoder: Encoder) -> None:
        """Let publications go to a session by another link, in another encoding, from now on.

        Call it before the session's protocol says so.
        """
        old, session.outlet = session.outlet, outlet
        former = session.protocol.encoder
        for subscription in session.subscriptions.values():
            channel = self.channels.find(subscription)
            if channel is None or subscription.stage is not Stage.LIVE:
                continue
            channel.audience.discard(former, old)
            channel.audience.add(encoder, outlet)

    def forget(self, session: Session, code: int) -> None:
        """Take an ended session out of everything; its subscriptions, name and locks are free at once."""
        if isinstance(session.protocol, Resident):
            session.protocol.leave(session, code)
        self.sessions.pop(session.id, None)
        if not session.was_open:
            self.strangers.give_back(address_group(session.peer.address))
        self.expiry.forget(session)
        if code in (Code.DISCONNECTED, Code.INVALID_TOKEN, Code.EXPIRED):
            self.resumption.revoke(session)
        else:
            self.resumption.park(session)
        for subscription in tuple(session.subscriptions.values()):
            self.subscribing.end(subscription)
        self.locking.release_all(session)
        self.names.release(session)
        if self.cluster is not None:
            self.cluster.names.release(session)
        self.counters.disconnects += 1
        self.log("INFO", "session %s (%s) ends with %s", session.id, session.name or "anonymous", int(code))
        if self.hooks.disconnect and session.was_open:
            self.tell(self.hooks.disconnect, session.handle_of(), code)

    # --- Backends ----------------------------------------------------------------------------------------------------

    def publish(
        self,
        actor: Actor,
        command: base.Publish,
        done: Callable[[Outcome | None, ChappeError | None], None],
    ) -> None:
        """Publish for a backend; `done` gets where it is stored, or why not.

        Hooks on publications are for clients: the application does not ask itself.

        Raises:
            ChappeError: 103, 107, 113; `done` is not called then.
        """
        self.check_known_channel(command.channel)
        self.permissions.authorize(actor, Action.PUBLISH, command.channel)
        check_payload(command.payload, command.kind, self.limits)
        expect = command.expect
        entry = Append(
            command.channel,
            command.payload,
            command.kind,
            self.clock.wall_ms(),
            self.stored_as(command.channel, self.namespaces.of(command.channel)),
            None,
            command.key,
            f"user:{actor.claims.user or ''}",
            command.headers,
            Position("", expect) if isinstance(expect, int) else expect,
            command.retain,
        )

        def stored(outcome: Outcome) -> None:
            if outcome.error == Code.CONFLICT:
                self.publishing.missed(entry, outcome, lambda error: done(None, error))
            elif outcome.error:
                done(None, ChappeError(outcome.error))
            else:
                done(outcome, None)

        self.publishing.append(entry, stored)

    def read_history(
        self, actor: Actor, command: base.History, done: Callable[[ReadResult | None, ChappeError | None], None]
    ) -> None:
        """Read a page of history for a backend.

        Raises:
            ChappeError: 103, 107; `done` is not called then.
        """
        check_channel(command.channel, self.limits.channel_bytes)
        self.permissions.authorize(actor, Action.HISTORY, command.channel)

        def read(result: ReadResult) -> None:
            error = history_error(command, result)
            done(None if error else history_page(self, command, result), error)

        self.broker.read(history_request(self, command), read)

    def list_members(self, actor: Actor, channel: str, done: Callable[[list[Member], int], None]) -> None:
        """Give the members of a channel and their number to a backend.

        Raises:
            ChappeError: 103, 107, 108.
        """
        check_channel(channel, self.limits.channel_bytes)
        self.permissions.authorize(actor, Action.PRESENCE, channel)
        self.members_of(channel, done)

    def find_sessions(self, user: str | None, session_id: str | None, token_id: str | None) -> list[Session]:
        """Return the sessions of this node that a user has, with an id, or that opened with a token (`jti`)."""
        if session_id is not None:
            found = self.sessions.get(session_id)
            return [found] if found is not None else []
        if user is not None:
            return [each for each in self.sessions.values() if each.user == user]
        return [each for each in self.sessions.values() if each.actor.claims.token_id == token_id is not None]

    def disconnect(self, actor: Actor, session: Session, code: int = Code.DISCONNECTED) -> None:
        """End a session in an operator's name.

        Raises:
            ChappeError: 103.
        """
        self.permissions.authorize(actor, Action.DISCONNECT, session.id)
        session.close(code)

    def revoke_here(self, user: str | None, session_id: str | None, token_id: str | None, until: float) -> int:
        """Refuse a token, or those that sessions of this node came with, and end the sessions; return how many.

        Of a user, whatever was issued until now is refused, where it says when that was.

        Args:
            until: seconds since 1970: how long a token without an `exp` is refused.
        """
        found = self.find_sessions(user, session_id, token_id)
        brought: dict[str, float] = {}
        for claims in (session.actor.claims for session in found):
            if claims.token_id is not None:
                brought[claims.token_id] = until if claims.expires_at is None else claims.expires_at
        wall_s = self.clock.wall_ms() / 1_000
        entries: list[Entry] = [("token", name, end, 0.0) for name, end in brought.items()]
        if token_id is not None and token_id not in brought:
            self.revocations.add([("token", token_id, until, 0.0)], wall_s)
        if user is not None:
            self.revocations.add([("user", user, until, wall_s)], wall_s)
        self.revocations.add(entries, wall_s)
        if self.cluster is not None:
            self.cluster.revoking.tell(entries)
        self.revocations.end_of(user)
        for session in found:
            session.close(Code.INVALID_TOKEN if token_id is not None else Code.DISCONNECTED)
        return len(found)

    def send_direct(self, session: Session, value: Any) -> None:
        """Say something to one session (`message`); a session that ended hears nothing."""
        session.send(base.Direct(msgspec.json.encode(value)))

    def shutdown(self, sessions: Sequence[Session], reason: str = "") -> None:
        """Ask sessions to come back later or elsewhere (3001)."""
        for session in sessions:
            session.close(Code.SHUTDOWN, reason)

    def new_handle(self) -> str:
        """Return a private handle: 128 random bits, unrelated to any public id, behind the node that knows it."""
        return self.node + self.random(_HANDLE_BYTES).hex()

    # --- For the parts of the hub ------------------------------------------------------------------------------------

    def members_of(self, channel_name: str, done: Callable[[list[Member], int], None]) -> None:
        """Give members and count, unchecked; only the count above `presence_members`."""
        if not self.namespaces.of(channel_name).presence:
            raise ChappeError(Code.NOT_AVAILABLE, detail={"feature": "presence"})

        def found(members: list[Member], count: int) -> None:
            done(members if count <= self.limits.presence_members else [], count)

        channel = self.channels.get(channel_name)
        if self.cluster is not None and not self.cluster.rooms.knows(channel_name):
            self.cluster.rooms.members(channel_name, found)
        elif channel is not None and channel.presence is not None:
            found(channel.presence.members(), len(channel.presence))
        else:
            done([], 0)

    def stored_as(self, channel: str, namespace: Namespace) -> Namespace:
        """Return the options that a publication is stored under: its namespace's, or more for sessions that need it."""
        return namespace if self.retention is None else self.retention(channel, namespace)

    def check_known_channel(self, channel: str) -> None:
        """Check a channel name; one that was right before is not looked at again.

        Raises:
            ChappeError: 107.
        """
        known = self._known_channels
        if channel in known:
            return
        check_channel(channel, self.limits.channel_bytes)
        if len(known) >= _KNOWN_CHANNELS:
            known.clear()
        known.add(channel)

    def too_fast(self, excess: Excess) -> ChappeError:
        """Return error 111, which is counted by the limit that was crossed."""
        self.counters.count_excess(excess.limit)
        detail = {"limit": excess.limit, "retry_after_s": max(round(excess.wait_s, 3), 0.001)}
        return ChappeError(Code.TOO_MANY_REQUESTS, detail=detail)

    def as_refusal(self, error: BaseException) -> ChappeError:
        """Return what a client is told when a hook raised: its refusal, or 100 for anything unforeseen."""
        if isinstance(error, ChappeError):
            return error
        self.report(error, "a hook failed")
        return ChappeError(Code.INTERNAL_ERROR)

    def as_rpc_error(self, error: BaseException, method: str) -> ChappeError:
        """Return what a caller is told when a method raised."""
        if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            # Raised by the call itself: the arguments do not fit the method.
            return ChappeError(Code.BAD_REQUEST, detail={"field": "params", "problem": f"they do not fit {method}"})
        return self.as_refusal(error)

    def report(self, error: BaseException, what: str) -> None:
        """Log an exception that is our fault or the application's, and tell the error hooks."""
        self.counters.hook_errors += 1
        self.log("ERROR", "%s: %s: %s", what, type(error).__name__, error)
        self.log("DEBUG", "%s", "".join(traceback.format_exception(error)))
        if self.hooks.error:
            self.tell(self.hooks.error, error)

    def tell(self, hooks: Sequence[Hook], *arguments: object) -> None:
        """Call hooks that cannot refuse; what they raise is logged."""

        def done(error: BaseException | None) -> None:
            if error is not None:
                self.counters.hook_errors += 1
                self.log("ERROR", "a hook failed: %s: %s", type(error).__name__, error)

        self.hooks.run(hooks, arguments, done)

    def _make_handlers(self) -> dict[type, Handler]:
        return {
            base.Connect: self.connecting.connect,
            base.Login: self.connecting.login,
            base.Refresh: self.connecting.refresh,
            base.Subscribe: self.subscribing.subscribe,
            base.Follow: self.subscribing.subscribe,
            base.Unsubscribe: self.subscribing.unsubscribe,
            base.Publish: self.publishing.publish,
            base.History: self.reading.history,
            base.Presence: self.reading.presence,
            base.ListNames: self.reading.names,
            base.Lock: self.locking.lock,
            base.Unlock: self.locking.unlock,
            base.LockOwner: self.locking.owner,
            base.Rpc: self.calling.rpc,
            base.Cancel: self.calling.cancel,
            base.ServiceRequest: self.calling.service,
            base.State: self._set_background,
            base.Ping: lambda session, command: session.answer(base.Pong(command.id)),
            base.PongReceived: lambda session, command: None,
            base.Leave: lambda session, command: session.answer(base.Done(command.id)),
            base.Rejected: lambda session, command: session.fail(command.id, command.error),
        }

    def _set_background(self, session: Session, command: base.State) -> None:
        """Hold ephemeral publications back while nobody looks, and ping less often."""
        session.background = command.background
        for subscription in session.subscriptions.values():
            channel = self.channels.find(subscription)
            if channel is not None and channel.namespace.ephemeral and subscription not in channel.catching_up:
                change = channel.audience.discard if command.background else channel.audience.add
                change(session.protocol.encoder, session.outlet)
        session.answer(base.Done(command.id))


def _nothing() -> None:
    """Have nobody who waits."""


def _check_levels(namespaces: Namespaces, broker: Broker) -> None:
    for namespace in namespaces:
        if namespace.level is Level.DURABLE and not broker.durable:
            raise ConfigurationError(
                f"namespace {namespace.name!r} is durable, but the broker {broker.name!r} keeps nothing on disk; "
                'use another broker.url or level = "recoverable"'
            )
