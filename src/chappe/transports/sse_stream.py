"""A stream of Server-Sent Events on its hub side: a session that subscribes for its reader, and what it is told.

A stream opens before anything is answered, so that a refusal is an HTTP status. What the hub sends until the connection
is there waits here. Then a stream of one channel lets its session speak straight to the connection, as any WebSocket
does; one of several stays in between, since the cursor behind each event is its own.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from chappe.hub.contracts import Claims, Link
from chappe.hub.hub import HubCore
from chappe.hub.permissions import Action, Actor
from chappe.hub.session import Peer, Session
from chappe.model.channels import check_channel, check_pattern, is_pattern
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Bundle, Frame
from chappe.protocols import base
from chappe.protocols.sse import (
    EventEncoder,
    EventFrame,
    MessageFrame,
    RawEventEncoder,
    SseProtocol,
    end_event,
    event,
    field,
)
from chappe.transports.credentials import identify
from chappe.transports.portable import Receiver
from chappe.transports.send_queue import SendQueue
from chappe.transports.stream_places import Places

#: How long hooks and the broker may take to open a stream, seconds; then 503, and the reader comes back.
OPENING_S: Final = 10.0
#: Readers whose stream ends come back after so many milliseconds, each after its own time: one hub that goes away has
#: all of them at its door at once.
_RETRY_MS: Final = (2_000, 5_000)
#: How many times what may wait for a slow reader may wait for a connection: the gaps of all channels come before there
#: is one, and a reader that was refused for them would come back to the same gaps.
_OPENING_QUEUES: Final = 16


class Carrier(Link, Protocol):
    """A link that carries events over a connection.

    Attributes:
        receiver: who learns of its end.
    """

    receiver: Any

    def begin(self, receiver: Receiver, behind: bytes = b"") -> None:
        """Tell a receiver of the end from here on."""


class Streams:
    """Opens the streams of one hub."""

    def __init__(self, hub: HubCore) -> None:
        self._hub = hub
        self._protocols = {
            (raw, whole): SseProtocol(hub.limits, (RawEventEncoder if raw else EventEncoder)(whole))
            for raw in (False, True)
            for whole in (False, True)
        }

    async def check(self, channels: Mapping[str, base.Since], peer: Peer) -> None:
        """Refuse what `open` would refuse, as far as that is known without a session.

        Raises:
            ChappeError: 101, 103, 106, 107, 108, 109.
        """
        hub = self._hub
        claims = Claims()
        credential = peer.token if peer.token is not None else peer.claims
        if credential is not None:
            claims = await identify(hub, credential)
        elif not hub.permissions.anonymous:
            raise ChappeError(Code.UNAUTHORIZED)
        if len(channels) > hub.limits.channels_per_client:
            raise ChappeError(Code.LIMIT_EXCEEDED, detail={"limit": "channels_per_client"})
        for name in channels:
            pattern = is_pattern(name)
            (check_pattern if pattern else check_channel)(name, hub.limits.channel_bytes)
            hub.permissions.authorize(Actor(claims), Action.SUBSCRIBE_PATTERN if pattern else Action.SUBSCRIBE, name)

    async def open(self, channels: Mapping[str, base.Since], peer: Peer, raw: bool) -> "Stream":
        """Open a stream of these channels and patterns, each from its own place on; attach it to a connection next.

        Raises:
            ChappeError: the first refusal: of the credential, of a hook, of a channel; nothing is left of it then.
        """
        whole = len(channels) == 1 and not any(map(is_pattern, channels))
        stream = Stream(self._hub, channels, whole, raw)
        session = stream.session = self._hub.open(stream, self._protocols[raw, whole], peer)
        try:
            async with asyncio.timeout(OPENING_S):
                session.execute(base.Connect(0))
                await stream.connected
                for number, (channel, since) in enumerate(channels.items(), 1):
                    session.execute(base.Subscribe(number, channel, since))
                await stream.subscribed
        except TimeoutError:
            session.close(Code.DISCONNECTED)
            raise ChappeError(Code.NOT_AVAILABLE) from None
        except BaseException:
            # Refused, or the server cancels us.
            session.close(Code.DISCONNECTED)
            raise
        return stream


class Stream:
    """One stream: the `Link` of its session until its connection is there, and beyond that for several channels.

    Attributes:
        session: whose link it is.
        connected, subscribed: the steps of opening; they fail with what refuses it.
        closing: it ended, before its connection was there or with it.
    """

    def __init__(self, hub: HubCore, channels: Mapping[str, base.Since], whole: bool, raw: bool) -> None:
        loop = asyncio.get_running_loop()
        self.session: Session | None = None
        self.connected: asyncio.Future[None] = loop.create_future()
        self.subscribed: asyncio.Future[None] = loop.create_future()
        self.closing = False
        self._hub = hub
        self._loop = loop
        self._channels = channels
        self._whole = whole
        self._raw = raw
        self._places = Places()
        self._handle = ""
        self._replies: dict[str, base.Subscribed] = {}
        limits = hub.limits
        self._queue: SendQueue | None = SendQueue(
            _OPENING_QUEUES * limits.send_queue_bytes, _OPENING_QUEUES * limits.send_queue_messages
        )
        self._carrier: Carrier | None = None

    def attach(self, carrier: Carrier) -> None:
        """Send what waits over a connection, and from here on everything."""
        session, queue = self.session, self._queue
        assert session is not None
        assert queue is not None
        self._carrier, self._queue = carrier, None
        if self.closing:
            carrier.close(Code.DISCONNECTED)
            return
        carrier.begin(session)
        frames = [self._first_event()]
        while queue:
            ended = self._ended(queue.pop())
            frames += ended.frames if isinstance(ended, Bundle) else (ended,)
        # In one piece, as a recovered gap always goes: the reader could take nothing of it yet.
        carrier.send(Bundle.of(frames))
        if self._whole:
            self._hub.relink(session, carrier)
        for channel, count in queue.take_dropped().items():
            session.dropped(channel, count)

    def abandon(self) -> None:
        """End a stream whose reader went away before its connection was there."""
        self.closing = True
        if self.session is not None:
            self.session.lost(1006)

    @property
    def is_raw(self) -> bool:
        """Whether its reader is told nothing but payloads."""
        return self._raw

    @property
    def carrier(self) -> Carrier | None:
        """Its connection; None: it is not there yet."""
        return self._carrier

    @property
    def places(self) -> Places:
        """Where its reader is."""
        return self._places

    # --- Link --------------------------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Pass a frame on with the cursor behind it; before there is a connection, learn from it or keep it."""
        if self._carrier is not None:
            self._carrier.send(self._ended(frame))
        elif isinstance(frame, MessageFrame) and self._hear(frame.message):
            return
        elif not self.closing and self._queue is not None and not self._queue.put(frame, 0):
            self._queue.clear()
            self.closing = True
            # Not from inside a fan-out: the end of a session changes the audience that is being served.
            self._loop.call_soon(self._close_slow)

    def close(self, code: int, reason: str = "") -> None:
        """End with the connection; before there is one the request is refused with this code."""
        if self._carrier is not None:
            if not self._raw:
                self._carrier.send(close_event(code, reason))
            self._carrier.close(code, reason)
        elif not self.closing:
            self.closing = True
            self._fail(ChappeError(code, reason))

    def pause(self) -> None:
        """Nothing is read here."""

    def resume(self) -> None:
        """Nothing is read here."""

    def limit(self, frame_bytes: int) -> None:
        """Nothing is read here."""

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Answer that the reader lives: it has no way to answer itself, and a dead one's connection ends."""
        self._loop.call_soon(done, not self.closing)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the reader."""
        if self._carrier is not None:
            return self._carrier.queued_bytes
        return self._queue.queued_bytes if self._queue is not None else 0

    # --- Opening -----------------------------------------------------------------------------------------------------

    def _hear(self, message: base.Message) -> bool:
        """Take what concerns the opening; return False for anything else."""
        if isinstance(message, base.Connected):
            self._handle = message.resume
            _succeed(self.connected)
        elif isinstance(message, base.Subscribed):
            self._replies[message.channel] = message
            if len(self._replies) == len(self._channels):
                _succeed(self.subscribed)
        elif isinstance(message, base.Failed):
            self._fail(ChappeError(message.code, message.reason, detail=message.detail))
        else:
            return False
        return True

    def _fail(self, error: ChappeError) -> None:
        for step in (self.connected, self.subscribed):
            if not step.done():
                step.set_exception(error)
                # The first refusal is told; nobody may be waiting for the other step.
                step.exception()

    def _close_slow(self) -> None:
        self._fail(ChappeError(Code.SLOW_CONSUMER))
        if self.session is not None:
            self.session.lost(Code.SLOW_CONSUMER)

    def _first_event(self) -> Frame:
        """Return the beginning: what each channel answered, how to come back, and the place before all that follows."""
        assert self.session is not None
        for name, since in self._channels.items():
            self._places.enter(self._replies[name], since)
        self._places.settle(self.session)
        cursor, back_ms = self._places.encode(), retry_ms(self._hub)
        if self._raw:
            return Frame(b"retry: %d\n" % back_ms + field(b"id", cursor) + b"\n", True)
        channels = {name: answer_of(self._replies[name]) for name in self._channels}
        told = msgspec.json.encode({"session": self._handle, "channels": channels})
        return Frame(event(told, b"subscribed", cursor, back_ms), True)

    # --- Several channels --------------------------------------------------------------------------------------------

    def _ended(self, frame: Frame) -> Frame:
        """Return a frame as this stream sends it: events of several channels end with the place in all of them."""
        if self._whole:
            return frame
        if isinstance(frame, Bundle):
            return Bundle.of([self._ended(part) for part in frame.frames])
        if isinstance(frame, EventFrame):
            return end_event(frame, self._places.encode() if self._places.move(frame.publication) else b"")
        if isinstance(frame, MessageFrame) and isinstance(frame.message, base.Unsubscribed):
            self._places.leave(frame.message.channel)
        return frame


def answer_of(reply: base.Subscribed) -> dict[str, Any]:
    """Return what the first event of a stream says of a channel or pattern."""
    place: dict[str, Any] = {"position": reply.log_position}
    if reply.position is not None:
        place = {"epoch": reply.position.epoch, "offset": reply.position.offset}
    return {**place, "recovered": reply.recovered}


def retry_ms(hub: HubCore) -> int:
    """Return after how many milliseconds the reader of one stream comes back."""
    lowest, highest = _RETRY_MS
    return lowest + int.from_bytes(hub.random(4)) % (highest - lowest)


def close_event(code: int, reason: str) -> Frame:
    """Return the last event of a stream that the hub ends."""
    told = msgspec.json.encode({"type": "close", "code": int(code), "reason": reason})
    return Frame(event(told, b"close"), True)


def _succeed(step: "asyncio.Future[None]") -> None:
    if not step.done():
        step.set_result(None)
