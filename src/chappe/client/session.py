"""What a chappe.v1 client says over its connections: who it is, its subscriptions again, what was not acknowledged."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from chappe.client.connection import Connection
from chappe.client.errors import CUT, ConnectionLost, TimedOut
from chappe.client.events import CONNECTION_EVENTS, Events
from chappe.client.exchange import Exchange, HubError, error_of
from chappe.client.lifeline import Accepted, Lifeline
from chappe.client.messages import (
    Codec,
    Direct,
    Encoding,
    Failure,
    Incoming,
    Joined,
    Left,
    MissedTold,
    PresenceTold,
    Pushed,
    Reply,
    Unsubscribed,
)
from chappe.client.options import Settings
from chappe.client.outgoing import Outgoing
from chappe.client.publisher import Publisher
from chappe.client.reconnection import ReconnectionPolicy
from chappe.client.subscription import Subscription
from chappe.client.token import Token, expiry, fetch, refresh_delay_s
from chappe.model.channels import is_pattern, pattern_matches
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

#: What a chappe.v1 client tells beside its connection.
EVENTS: Final[dict[str, str]] = {
    **CONNECTION_EVENTS,
    "resubscribed": "channel, recovered",
    "missed": "channel, count",
}
#: The hub closes with 1009 on a frame above 1 MiB; the rest is for what surrounds the data.
MAX_DATA_BYTES: Final = 1_048_576 - 4_096
#: Seconds that calls have to be answered before a session moves to a better transport, or what is gathered to leave.
_REST_S: Final = 5.0
#: Seconds that everything else may wait for the move.
_PAUSE_S: Final = 1.0


class SessionInfo(msgspec.Struct, frozen=True):
    """What the hub said when it accepted the session.

    Attributes:
        session: public id, as in `from_` of publications.
        user: authenticated user, or None.
        name: the name shown.
        ping_s: seconds between the hub's own pings.
        resumed: whether the earlier session moved to this connection.
    """

    session: str
    user: str | None
    name: str
    ping_s: float
    version: str
    node: str
    resumed: bool


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who connects, and how it speaks.

    Attributes:
        name: the name to claim, or empty.
        client: shown to operators.
        publish_queue: publications that may wait for their acknowledgement.
        command_timeout_s: for an answer, the wait for a connection included.
    """

    token: Token = None
    name: str = ""
    client: dict[str, str]
    encoding: Encoding = "json"
    publish_queue: int = 1_000
    command_timeout_s: float = 10.0


class Session:
    """The conversation of one client, over as many connections as it takes. Implements `Conversation` and `Host`.

    Attributes:
        codec: what our payloads are encoded in, whatever carries them.
        heard: what the present connection speaks, or the last one spoke.
        held: locks that we hold, and until when, seconds of the loop's clock.
    """

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.codec = self.heard = Codec(identity.encoding)
        self.events = Events(EVENTS)
        self.lifeline = Lifeline(settings, self.events, self, self._may_move, self._fetch_token)
        self.info: SessionInfo | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.publisher = Publisher(identity.publish_queue, self.codec, lambda: self.exchange)
        self.held: dict[str, float] = {}
        self._settings = settings
        self._identity = identity
        self._token = identity.token
        self._offered: str | None = None
        self._resume = ""
        # For whom the hub remembers idempotency keys (CH-9.3).
        self._publisher_id: tuple[str, str] | None = None
        self._exchange: Exchange | None = None
        # Channels that were left while the session came to rest, or None: it does not.
        self._left: list[str] | None = None
        self._up = asyncio.Event()
        self._patterns: list[Subscription] = []
        self._behind: set[Subscription] = set()

    @property
    def exchange(self) -> Exchange | None:
        """Return the exchange of the present connection, or None: there is none."""
        # Between the end of a connection and its being tidied up, it is there and over.
        return None if self._exchange is None or self._exchange.is_over else self._exchange

    @property
    def policy(self) -> ReconnectionPolicy:
        """Return how repeated attempts wait."""
        return self._settings.policy

    @property
    def command_timeout_s(self) -> float:
        """Return how long an answer may take."""
        return self._identity.command_timeout_s

    async def request(
        self,
        fields: dict[str, Any],
        *,
        repeat: bool = False,
        wait_s: float = 0.0,
        unwanted: Callable[[], None] | None = None,
    ) -> Reply:
        """Send a command and wait for its answer; without a connection, wait for one first.

        Args:
            fields: the command.
            repeat: ask again over the next connection if this one goes: for what changes nothing.
            wait_s: how much later than usual the answer may come.
            unwanted: called if it was carried out although nobody waits for the answer any more.
        Raises:
            ChappeError: the hub's error.
            ConnectionLost: the connection went before the answer; what the command does may be done.
            TimedOut: no answer in time.
        """
        timeout_s = self.command_timeout_s + wait_s
        try:
            async with asyncio.timeout(timeout_s) as scope:
                while True:
                    exchange = await self._connected()
                    try:
                        return await exchange.request(fields, unwanted)
                    except HubError as refused:
                        await _wait_as_told(refused, scope)
                    except ConnectionLost as lost:
                        if not repeat:
                            reason = f"{lost.reason}; the {fields['type']} may or may not have been carried out"
                            raise ConnectionLost(lost.close_code, reason) from lost
        except TimeoutError as late:
            if isinstance(late, ChappeError):
                raise
            raise TimedOut(fields["type"], timeout_s) from None

    def post(self, fields: dict[str, Any]) -> None:
        """Send a command whose answer nobody waits for, if there is a connection."""
        if self.exchange is not None:
            with suppress(ChappeError):
                self.exchange.post(fields, lambda _: None)

    async def publish(self, fields: dict[str, Any]) -> Reply:
        """Send a publication, and again over each new connection until the hub answers.

        Cancelled, it is not sent again; whether the hub has it is not known then.

        Raises:
            ChappeError: the hub's error, or there will be no connection.
            QueueFull: too many wait already; nothing was sent.
            Unconfirmed: sending it again could store it twice (`Publisher.publish`).
        """
        if self.lifeline.error is not None:
            raise self.lifeline.error
        return await self.publisher.publish(fields)

    async def ping(self) -> float:
        """Measure a round trip through the hub, in milliseconds."""
        exchange = await self._connected()
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(self.command_timeout_s):
                await exchange.request({"type": "ping"})
        except TimeoutError:
            raise TimedOut("ping", self.command_timeout_s) from None
        return (time.perf_counter() - begin) * 1000

    async def refresh(self, token: str) -> None:
        """Hand over a newer token; later connections begin with it, unless a function gives them.

        Raises:
            ChappeError: the hub refused it.
        """
        if not callable(self._token):
            self._token = token
        await self.request({"type": "refresh", "token": token})

    async def background(self, on: bool) -> None:
        """Tell the hub whether nobody looks, now and after each connection.

        Raises:
            ChappeError: the hub refused it.
        """
        self.lifeline.heartbeat.background = on
        if self.exchange is not None:
            # Over the next connection it is said anyway.
            with suppress(ConnectionLost):
                await self.request({"type": "state", "background": on})

    async def flush(self) -> None:
        """Send now what is gathered; returns when it is sent, or cannot be."""
        if self.exchange is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_REST_S):
                    await self.exchange.flush()

    def add(self, subscription: Subscription) -> None:
        """Take up a subscription.

        Raises:
            ChappeError: 105, its channel is subscribed already.
        """
        if self.lifeline.error is not None:
            raise self.lifeline.error
        channel = subscription.channel
        if channel in self.subscriptions:
            raise ChappeError(Code.ALREADY_SUBSCRIBED, detail={"channel": channel})
        self.subscriptions[channel] = subscription
        if is_pattern(channel):
            self._patterns.append(subscription)

    def left(self, channel: str) -> None:
        """Learn that a channel was left and the hub could not be told."""
        if self._left is not None:
            self._left.append(channel)

    def discard(self, subscription: Subscription) -> None:
        """Forget a subscription that ended."""
        if self.subscriptions.get(subscription.channel) is subscription:
            del self.subscriptions[subscription.channel]
        if subscription in self._patterns:
            self._patterns.remove(subscription)
        self._look_behind()

    def told(self, event: str, *arguments: object) -> None:
        """Tell the listeners of the client."""
        self.events.emit(event, *arguments)
        self._look_behind()

    async def converse(self, connection: Connection, accepted: Accepted) -> None:
        """Identify ourselves, restore what the last connection had, then read until it is over."""
        exchange = self._exchange_over(connection)
        loop = asyncio.get_running_loop()
        reader = loop.create_task(exchange.read(self._pushed), name="chappe reader")
        tasks = [reader, loop.create_task(exchange.write(), name="chappe writer")]
        try:
            token = self._offered
            await self._identify(exchange, connection, token)
            self._behind = {subscription for subscription in self.subscriptions.values() if subscription.has_begun}
            accepted(bool(self._behind))
            self._exchange = exchange
            self._restore(exchange)
            self._up.set()
            if token is not None and callable(self._token):
                tasks.append(loop.create_task(self._keep_token_fresh(exchange, token), name="chappe token"))
            await reader
        finally:
            self._exchange = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            exchange.fail(ConnectionLost(CUT, "the connection is over"))

    def lost(self, error: ChappeError) -> None:
        """Learn that a connection is over."""
        self.held.clear()
        for subscription in tuple(self.subscriptions.values()):
            subscription.lost()

    def ended(self, error: ChappeError) -> None:
        """Learn that there will be no further connection."""
        for subscription in tuple(self.subscriptions.values()):
            subscription.end(error)
        self.publisher.fail(error)
        self._up.set()

    async def _fetch_token(self) -> None:
        """Ask for the token of the next connection.

        Raises:
            ChappeError: none can be had.
        """
        self._offered = await fetch(self._token)

    async def _connected(self) -> Exchange:
        while (exchange := self.exchange) is None:
            if self.lifeline.error is not None:
                raise self.lifeline.error
            self._up.clear()
            await self._up.wait()
        return exchange

    def _exchange_over(self, connection: Connection) -> Exchange:
        """Begin to speak what the connection carries; over HTTP that is JSON.

        Raises:
            ConnectionLost: the server speaks something else.
        """
        own = self.codec.subprotocol
        spoken = connection.subprotocol or own
        if connection.transport == "websocket" and spoken != own:
            raise ConnectionLost(CUT, f"the server speaks {spoken}, expected chappe.v1", final=True)
        self.heard = self.codec if spoken == own else Codec("json")
        settings = self._settings
        window_frames = settings.batch_max if settings.batch_ms else 1
        outgoing = Outgoing(window_s=settings.batch_ms / 1000, window_frames=window_frames, gathers=connection.gathers)
        return Exchange(connection, self.heard, outgoing)

    async def _may_move(self) -> bool:
        """Come to rest, so that nothing is under way while the session moves; what is asked meanwhile waits.

        Calls are waited for before anything has to wait. A lock is bound to the connection: while one is held, the
        session stays.
        """
        exchange = self.exchange
        if exchange is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST_S):
                await exchange.settle()
            if self._holds_lock() or exchange.is_over:
                return False
            self._exchange, self._left = None, []
            try:
                async with asyncio.timeout(_PAUSE_S):
                    await exchange.flush()
                    await exchange.rest()
                return not exchange.is_over
            except TimeoutError:
                self._stay(exchange, self._left)
            finally:
                self._left = None
        return False

    def _holds_lock(self) -> bool:
        now = asyncio.get_running_loop().time()
        return any(until > now for until in self.held.values())

    def _stay(self, exchange: Exchange, left: list[str]) -> None:
        """Go on over the connection there is."""
        self._exchange = exchange
        for channel in left:
            self.post({"type": "unsubscribe", "channel": channel})
        self._up.set()
        for subscription in tuple(self.subscriptions.values()):
            subscription.ask()
        self.publisher.resume()

    async def _identify(self, exchange: Exchange, connection: Connection, token: str | None) -> None:
        fields: dict[str, Any] = {"type": "connect", "client": self._identity.client}
        offered = {"token": token, "name": self._identity.name, "resume": self._resume}
        fields |= {name: value for name, value in offered.items() if value}
        try:
            reply = await exchange.request(fields)
        except ConnectionLost:
            raise
        except ChappeError as refused:
            await connection.close()
            if self.lifeline.must_raise or not self._may_return(refused):
                raise
            raise ConnectionLost(CUT, refused.reason) from refused
        self._resume = reply.resume
        self.info = SessionInfo(
            reply.session, reply.user, reply.name or "", reply.ping, reply.version, reply.node, reply.resumed
        )

    def _may_return(self, refused: ChappeError) -> bool:
        # Our name may still be held by our own last connection, whose end the hub has not noticed yet.
        return (
            refused.retry
            or refused.code == Code.NAME_IN_USE
            or (refused.code == Code.TOKEN_EXPIRED and callable(self._token))
        )

    def _restore(self, exchange: Exchange) -> None:
        """Subscribe and publish again, in this order: a publisher that is subscribed receives its own publication."""
        for subscription in tuple(self.subscriptions.values()):
            subscription.ask()
        before, self._publisher_id = self._publisher_id, self._known_as()
        self.publisher.restore(exchange, known=before in (None, self._publisher_id))
        if self.lifeline.heartbeat.background:
            with suppress(ChappeError):
                exchange.post({"type": "state", "background": True}, lambda _: None)

    def _known_as(self) -> tuple[str, str]:
        assert self.info is not None
        if self.info.user is not None:
            return "user", self.info.user
        return ("name", self.info.name) if self.info.name else ("session", self.info.session)

    async def _keep_token_fresh(self, exchange: Exchange, token: str) -> None:
        """Fetch a newer token before the present one expires; when that fails the hub closes and we come back.

        Who has none yet is asked again when three quarters of the time left have gone.
        """
        while (expires := expiry(token)) is not None:
            await asyncio.sleep(refresh_delay_s(expires, time.time()))
            try:
                newer = await fetch(self._token)
                if newer is None or newer == token:
                    continue
                await exchange.request({"type": "refresh", "token": newer})
            except ConnectionLost as error:
                if exchange.is_over:
                    return
                self.events.emit("error", error)
                continue
            except ChappeError as error:
                self.events.emit("error", error)
                return
            token = newer

    def _pushed(self, message: Incoming) -> None:
        match message:
            case Pushed():
                self._received(message)
            case Joined() | Left() | PresenceTold() | MissedTold() | Unsubscribed():
                for subscription in self._at(message.channel):
                    subscription.told(message)
            case Direct():
                self.events.emit("message", self.heard.value(message.data))
            case Failure():
                self.events.emit("error", error_of(message))
        self._look_behind()

    def _look_behind(self) -> None:
        """See whether everything that was missed is there."""
        if self._behind and self.lifeline.standing.state == "catching-up":
            self._behind = {subscription for subscription in self._behind if subscription.is_behind}
            if not self._behind:
                self.lifeline.caught_up()

    def _received(self, message: Pushed) -> None:
        publication = self.heard.publication(message)
        for subscription in self._at(publication.channel):
            subscription.received(publication)
        # The hub sends one copy to a session that matches several times; here each subscription gets its own.
        if self._patterns:
            for subscription in tuple(self._patterns):
                if pattern_matches(subscription.channel, publication.channel):
                    subscription.received(publication)

    def _at(self, name: str) -> tuple[Subscription, ...]:
        subscription = self.subscriptions.get(name)
        return () if subscription is None else (subscription,)


async def _wait_as_told(refused: HubError, scope: asyncio.Timeout) -> None:
    """Wait as long as the hub asks before the same command; raises its error if it does not ask, or for too long."""
    after_s, until = refused.retry_after_s, scope.when()
    if after_s is None or (until is not None and asyncio.get_running_loop().time() + after_s >= until):
        raise refused
    await asyncio.sleep(after_s)
