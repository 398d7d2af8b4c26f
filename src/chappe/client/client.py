"""The client of a hub: `chappe.connect`."""

import uuid
from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar, Unpack

import msgspec

from chappe.client.connection import Transport
from chappe.client.cursor import Since
from chappe.client.lifeline import NORMAL
from chappe.client.lock import Lock, LockRequest, release
from chappe.client.messages import Encoding, Publication, member_of
from chappe.client.options import TRANSPORTS, HubOptions, Settings, websocket_url
from chappe.client.session import MAX_DATA_BYTES, Identity, Session, SessionInfo
from chappe.client.standing import OfflineReason, State
from chappe.client.subscription import Overflow, Subscription
from chappe.client.token import Token
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.member import Member
from chappe.model.position import Position

Listener = TypeVar("Listener", bound=Callable[..., object])


class PublishResult(msgspec.Struct, frozen=True):
    """Where a publication was stored; offset 0 for one that is not kept."""

    offset: int
    epoch: str

    @property
    def position(self) -> Position:
        """Return the same as a position, for `since` and `expect`."""
        return Position(self.epoch, self.offset)


class History(msgspec.Struct, frozen=True):
    """A page of a channel's history, and where the channel stands."""

    publications: tuple[Publication, ...]
    position: Position


class Presence(msgspec.Struct, frozen=True):
    """Who is in a channel; above 200 members only `count` may be known."""

    members: tuple[Member, ...]
    count: int


class Client:
    """A client that survives: it reconnects with backoff and jitter, subscribes again, and recovers what it missed.

    Made by `connect`; `async with` (or `await`) waits for the first connection. One event loop, any number of tasks.
    Where no WebSocket gets through, a stream of events or long polling carry it; nothing else changes.
    Events (`on`): `state(state, reason)`, `connected`, `disconnected(code)`, `reconnecting(n, of)`, `gave_up`,
    `message(data)` for what the application sends to this session alone, `error(error)`,
    `transport_changed(old, new)`, `latency(ms)`, `resubscribed(channel, recovered)`, `missed(channel, count)`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def state(self) -> State:
        """Return `connecting`, `live`, `catching-up`, `offline` or `refused`."""
        return self._session.lifeline.standing.state

    @property
    def reason(self) -> OfflineReason | None:
        """Return why the state is `offline`, or None: our own doing."""
        return self._session.lifeline.standing.reason

    @property
    def transport(self) -> Transport | None:
        """Return what carries the connection, or carried the last one; None before the first."""
        return self._session.lifeline.transport

    @property
    def error(self) -> ChappeError | None:
        """Return why there will be no further connection, or None."""
        return self._session.lifeline.error

    @property
    def info(self) -> SessionInfo | None:
        """Return what the hub said when it accepted us; None before that."""
        return self._session.info

    @property
    def session(self) -> str | None:
        """Return our public session id; None before the first connection."""
        return self._session.info.session if self._session.info else None

    @property
    def subscriptions(self) -> Mapping[str, Subscription]:
        """Return the subscriptions by channel or pattern."""
        return MappingProxyType(self._session.subscriptions)

    @property
    def unacknowledged(self) -> int:
        """Return how many publications the hub has not acknowledged."""
        return len(self._session.publisher.outbox)

    async def __aenter__(self) -> Self:
        await self._session.lifeline.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    def on(self, event: str, listener: Listener) -> Listener:
        """Call a listener at each event; `async def` listeners are awaited one after the other, by a task of their own.

        Raises:
            LocalProtocolError: there is no such event.
        """
        return self._session.events.on(event, listener)

    def off(self, event: str, listener: Callable[..., object]) -> None:
        """Stop calling a listener."""
        self._session.events.off(event, listener)

    def subscribe(
        self,
        channel: str,
        *,
        since: Since = None,
        presence: bool = False,
        queue_size: int = 1024,
        overflow: Overflow = "recover",
    ) -> Subscription:
        """Make a subscription; `async with` (or `await`) asks the hub for it.

        Args:
            channel: a channel, or a pattern with `+` and `#`.
            since: a `Position`, `"latest"` for the newest publication, a count of the newest; None: from now on.
            presence: tell who is there, who comes and who goes.
            queue_size: items that may wait for the loop that takes them.
            overflow: what happens when more would wait: `recover`, `drop_oldest` or `fail`.
        Raises (when it is entered):
            ChappeError: 103 not allowed, 105 subscribed already, 107 no channel name.
        """
        return Subscription(
            self._session, channel, since=since, presence=presence, queue_size=queue_size, overflow=overflow
        )

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        key: str | None = None,
        expect: int | Position | PublishResult | None = None,
        retain: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> PublishResult:
        """Publish a value (anything JSON can say, or bytes) and wait until the hub has it.

        Calls are sent in order. Without a connection they wait, and what was not acknowledged is sent again over the
        next one, with the same idempotency key: the hub stores it once. Cancelled, it is not sent again.

        Args:
            key: idempotency key, remembered by the hub for 5 minutes; by default one is made.
            expect: compare-and-set: refused with 114 unless the channel stands exactly here.
            retain: put it in the channel's retained slot too.
            headers: strings beside the data.
        Raises:
            ChappeError: the hub's error: 103 not allowed, 113 too large, 114 conflict.
            QueueFull: `publish_queue` publications wait already; nothing was sent.
            Unconfirmed: there was no connection for 4 minutes after it was sent, or the hub took an anonymous client
                for another one since: it may or may not be stored.
            TypeError: the data cannot be encoded.
        """
        raw = self._session.codec.data(data)
        size = len(memoryview(raw))
        if size > MAX_DATA_BYTES:
            # The hub would close the connection, and meet the same publication again on the next.
            reason = f"data of {size} bytes, expected {MAX_DATA_BYTES} or fewer"
            raise ChappeError(Code.MESSAGE_TOO_LARGE, reason, detail={"limit": MAX_DATA_BYTES, "size": size})
        fields: dict[str, Any] = {"type": "publish", "channel": channel, "data": raw, "key": key or uuid.uuid4().hex}
        if expect is not None:
            fields["expect"] = self._expected(channel, expect)
        if retain:
            fields["retain"] = True
        if headers:
            fields["headers"] = dict(headers)
        reply = await self._session.publish(fields)
        return PublishResult(reply.offset, reply.epoch or "")

    async def history(
        self, channel: str, *, limit: int = 100, since: Position | None = None, reverse: bool = False
    ) -> History:
        """Read publications, oldest first: after `since`, or without it the newest `limit`.

        Raises:
            ChappeError: 103 not allowed, 112 the position is gone.
        """
        fields: dict[str, Any] = {"type": "history", "channel": channel, "limit": limit}
        if since is not None:
            fields["since"] = {"epoch": since.epoch, "offset": since.offset}
        if reverse:
            fields["reverse"] = True
        reply = await self._session.request(fields, repeat=True)
        publications = tuple(map(self._session.heard.publication, reply.publications or ()))
        return History(publications, Position(reply.epoch or "", reply.offset))

    async def presence(self, channel: str) -> Presence:
        """List who is in a channel.

        Raises:
            ChappeError: 103 not allowed, 108 the channel has no presence.
        """
        reply = await self._session.request({"type": "presence", "channel": channel}, repeat=True)
        members = tuple(map(member_of, reply.members or ()))
        return Presence(members, max(reply.count, len(members)))

    def lock(self, resource: str, *, ttl: float = 30.0, wait: float = 0.0) -> LockRequest:
        """Acquire a named lock: `async with` holds it for the block, `await` until `unlock` or the end of its lease.

        Args:
            resource: any name.
            ttl: seconds until the hub frees it by itself. Longer work checks `Lock.token` where it writes.
            wait: seconds to wait for another holder.
        Raises (when it is entered):
            ChappeError: 118, another holds it; `detail` names the owner.
        """
        return LockRequest(self._session, resource, ttl, wait)

    async def unlock(self, resource: str) -> None:
        """Release a lock.

        Raises:
            ChappeError: 118, it is not ours.
        """
        await release(self._session, resource)

    async def call(self, method: str, /, **params: Any) -> Any:
        """Call a method of the application and return its result.

        A call is never repeated: if the connection goes before the answer, whether it ran is not known.

        Raises:
            ChappeError: the application's error (1000-1999) or the hub's.
            ConnectionLost: the connection went before the answer.
            TimedOut: no answer in time.
        """
        reply = await self._session.request({"type": "rpc", "method": method, "params": params})
        return self._session.heard.value(reply.result)

    async def ping(self) -> float:
        """Measure a round trip through the hub, in milliseconds."""
        return await self._session.ping()

    async def refresh(self, token: str) -> None:
        """Hand over a newer token before the present one expires.

        Raises:
            ChappeError: the hub refused it; the old one still counts.
        """
        await self._session.refresh(token)

    async def background(self, on: bool) -> None:
        """Tell the hub whether nobody is looking, now and after each reconnect.

        It pings less and holds back ephemeral publications; we ping every 300 s.

        Raises:
            ChappeError: the hub refused it.
        """
        await self._session.background(on)

    def redial(self) -> None:
        """Dial now instead of waiting for the next attempt."""
        self._session.lifeline.redial()

    async def wait_closed(self) -> None:
        """Wait until there will be no further connection; `error` says why."""
        await self._session.lifeline.wait_closed()

    async def close(self) -> None:
        """Disconnect for good: nothing reconnects, loops over subscriptions end, what waits for an answer fails."""
        try:
            await self._session.flush()
        finally:
            await self._session.lifeline.close(NORMAL)
            await self._session.events.close()

    def _expected(self, channel: str, expect: int | Position | PublishResult) -> Any:
        if not isinstance(expect, int):
            return {"epoch": expect.epoch, "offset": expect.offset}
        # An offset alone means the epoch last told to the session, and after a cut that may be another one.
        subscription = self._session.subscriptions.get(channel)
        place = subscription.position if subscription else None
        return expect if place is None else {"epoch": place.epoch, "offset": expect}


def connect(
    url: str,
    *,
    token: Token = None,
    name: str = "",
    encoding: Encoding = "json",
    publish_queue: int = 1_000,
    command_timeout_s: float = 10.0,
    **options: Unpack[HubOptions],
) -> Client:
    """Make a client of a hub; `async with` connects it.

    Args:
        url: `ws://HOST:PORT/ws` or `wss://HOST/ws`; `poll`, `send` and `events` are looked for beside it.
        token: a token, or a function (`async def` too) that gives one before each connection and before it expires.
        name: the name to claim, unique on the hub.
        encoding: `json`, or `msgpack`, where bytes are bytes.
        publish_queue: publications that may wait for their acknowledgement; one more raises `QueueFull`.
        command_timeout_s: for an answer of the hub, the wait for a connection included.
        options: see `HubOptions`.
    Raises (when it is entered):
        ChappeError: 115 name in use, 101 unauthorized, or the hub's other reason.
        ConnectionLost: nobody answers there, and `retry_first` is off.
    """
    identity = Identity(
        token=token,
        name=name,
        client={"name": "py", "version": _version()},
        encoding=encoding,
        publish_queue=publish_queue,
        command_timeout_s=command_timeout_s,
    )
    subprotocol = "chappe.v1.msgpack" if encoding == "msgpack" else "chappe.v1"
    options.setdefault("transports", TRANSPORTS)
    settings = Settings(url=websocket_url(url), subprotocols=(subprotocol,), **options)
    return Client(Session(settings, identity))


def _version() -> str:
    # Imported here: it takes longer than the rest of the client, and nobody else needs it.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("chappe")
    except PackageNotFoundError:
        return "unknown"


__all__ = ["Client", "History", "Lock", "Presence", "PublishResult", "connect"]
