"""Subscribe and unsubscribe, with recovery: the whole gap or `recovered: false`, never half of it.

The channel is attached to the feed before its history is read, so a publication made meanwhile is in the answer, or in
the feed, or in both. What the feed brings during the read is kept aside and merged behind the answer; what is in both
goes out once.

Whoever asks what is being read already shares the answer: when a hub comes back and a thousand clients ask for the same
gap, the broker reads it once.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from chappe.hub.contracts import Read, ReadLog, ReadLogResult, ReadResult
from chappe.hub.permissions import Action
from chappe.hub.session import Session
from chappe.hub.subscription import Stage, Subscription
from chappe.model.channels import check_channel, check_pattern, is_pattern
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Bundle, Frame
from chappe.model.position import Position
from chappe.model.publication import Publication
from chappe.protocols import base

if TYPE_CHECKING:
    from chappe.hub.channels import Channel
    from chappe.hub.hub import HubCore

#: How often an answer is read again because the feed was interrupted meanwhile, before the client is told 108.
_READS: Final = 3


_Question: TypeAlias = tuple[str, Position | None, int]
"""What a broker is asked: channel, since, limit."""

_Encoding: TypeAlias = tuple[base.Encoder, str, str, int, bool]
"""A publication for the clients of one protocol: encoder, channel, epoch, offset, whether it is retained."""


class Subscribing:
    """Carries out `subscribe` and `unsubscribe`.

    Attributes:
        flights: reads that the broker has not answered yet.
    """

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self.flights: dict[_Question, _Flight] = {}
        self._frames: dict[_Encoding, Frame] = {}

    def subscribe(self, session: Session, command: base.Subscribe) -> None:
        """Subscribe a session; the answer, the gap and then live publications go out in this order.

        Raises:
            ChappeError: 103, 105, 106, 107; nothing changed then.
        """
        pattern = is_pattern(command.channel)
        self._check(session, command, pattern)
        hooks = self._hub.hooks.for_subscribe(command.channel)
        if not hooks:
            if self._hub.permissions.needs_hook(Action.SUBSCRIBE, command.channel):
                raise ChappeError(Code.PERMISSION_DENIED, detail={"channel": command.channel})
            self._begin(session, command, pattern)
            return
        session.hold()

        def asked(error: BaseException | None) -> None:
            if error is not None:
                session.fail(command.id, self._hub.as_refusal(error))
            elif session.is_open:
                # While the hook thought, the application may have done what this command asks.
                try:
                    self._check(session, command, pattern)
                    self._begin(session, command, pattern)
                except ChappeError as late:
                    session.fail(command.id, late)
            session.release()

        self._hub.hooks.run(hooks, (session.handle_of(), command.channel), asked)

    def unsubscribe(self, session: Session, command: base.Unsubscribe) -> None:
        """End a subscription.

        Raises:
            ChappeError: 102, there is none.
        """
        subscription = session.subscription(command.channel)
        if subscription is None:
            raise ChappeError(Code.UNKNOWN_CHANNEL, detail={"channel": command.channel[:255]})
        self.end(subscription)
        session.answer(base.Done(command.id))

    def end(self, subscription: Subscription, code: int = 0) -> None:
        """Take a subscription away; with a code the session is told (2000-2499 final, 2500-2999 subscribe again)."""
        session = subscription.session
        session.unsubscribed(subscription)
        channel = self._hub.channels.discard(subscription)
        if channel is not None:
            self._hub.rooms.left(channel, session)
        if code and not session.is_over:
            self._tell_end(session, subscription.name, code)

    def end_all(self, sessions: Iterable[Session], name: str) -> int:
        """End the subscription of sessions to a channel or pattern (2000); return how many had it."""
        found = [subscription for session in sessions if (subscription := session.subscription(name)) is not None]
        for subscription in found:
            self.end(subscription, Code.UNSUBSCRIBED)
        return len(found)

    def interrupted(self, channel: "Channel") -> None:
        """Learn that a channel's feed may have lost something: whoever cannot be made whole here subscribes again."""
        channel.epoch = ""
        channel.fed = 0
        for subscription in tuple(channel.subscriptions.values()):
            if subscription.stage is Stage.READING:
                subscription.stale = True
            else:
                self._hub.counters.interrupted += 1
                self.end(subscription, Code.UNSUBSCRIBED_INSUFFICIENT_STATE)

    def encode(self, encoder: base.Encoder, publication: Publication) -> Frame | None:
        """Encode a publication for a gap, once for all who get it in the same turn of the event loop."""
        if publication.transient:
            return encoder.publication(publication)
        key = (encoder, publication.channel, publication.epoch, publication.offset, publication.retained)
        frame = self._frames.get(key)
        if frame is None:
            frame = encoder.publication(publication)
            if frame is not None:
                if not self._frames:
                    self._hub.clock.call_later(0, self._frames.clear)
                self._frames[key] = frame
        return frame

    def _tell_end(self, session: Session, name: str, code: int) -> None:
        """Say that a subscription ended; where the protocol has no word for it the connection ends."""
        failure = session.failure(None, ChappeError(code))
        frame = session.protocol.encoder.message(base.Unsubscribed(name, code, failure.reason))
        if frame is not None:
            session.link.send(frame)
        elif code >= Code.UNSUBSCRIBED_INSUFFICIENT_STATE:
            session.close(Code.INSUFFICIENT_STATE)
        else:
            session.close(Code.DISCONNECTED, failure.reason)

    def _check(self, session: Session, command: base.Subscribe, pattern: bool) -> None:
        limits = self._hub.limits
        (check_pattern if pattern else check_channel)(command.channel, limits.channel_bytes)
        if session.subscription(command.channel) is not None:
            raise ChappeError(Code.ALREADY_SUBSCRIBED, detail={"channel": command.channel})
        if session.subscribed >= limits.channels_per_client:
            detail = {"limit": "channels_per_client", "maximum": limits.channels_per_client}
            raise ChappeError(Code.LIMIT_EXCEEDED, detail=detail)
        since = command.since
        if isinstance(since, str) and since != "latest":
            raise ChappeError(Code.BAD_REQUEST, detail={"field": "since", "problem": 'expected "latest"'})
        if isinstance(since, int) and since < 0:
            raise ChappeError(Code.BAD_REQUEST, detail={"field": "since", "problem": "a negative count"})
        action = Action.SUBSCRIBE_PATTERN if pattern else Action.SUBSCRIBE
        self._hub.permissions.authorize(session.actor, action, command.channel)
        if since is not None:
            self._hub.permissions.authorize(session.actor, Action.RECOVER, command.channel)

    def _begin(self, session: Session, command: base.Subscribe, pattern: bool) -> None:
        subscription = Subscription(session, command.channel, command.presence and not pattern)
        # Before the subscription is among others: its name is the channel's own text from here on.
        self._hub.channels.add(subscription, pattern)
        session.subscribes(subscription)
        reading: _Reading
        reading = (
            _PatternReading(self._hub, subscription, command) if pattern else _Reading(self._hub, subscription, command)
        )
        reading.start()


class _Flight:
    """A read on its way, and who waits for its answer."""

    __slots__ = ("is_over", "readings")

    def __init__(self, reading: "_Reading") -> None:
        self.readings = [reading]
        self.is_over = False


class _Reading:
    """One read of history for one new subscription."""

    __slots__ = ("_command", "_finished", "_holds", "_hub", "_reads", "_subscription")

    def __init__(self, hub: "HubCore", subscription: Subscription, command: base.Subscribe) -> None:
        self._hub = hub
        self._subscription = subscription
        self._command = command
        self._reads = 0
        self._holds = False
        self._finished = False

    def start(self) -> None:
        """Read; the session's later commands wait for the answer."""
        self._read()
        if not self._finished:
            self._holds = True
            self._subscription.session.hold()

    def _read(self) -> None:
        self._reads += 1
        self._ask()

    def _ask(self) -> None:
        since = self._command.since
        position, limit = None, 0
        if isinstance(since, base.SincePosition):
            position, limit = Position(since.epoch, since.offset), self._hub.limits.recovery_publications
        elif isinstance(since, int):
            limit = min(since, self._hub.limits.history_page)
        elif since == "latest":
            limit = 1
        question = (self._command.channel, position, limit)
        flights = self._hub.subscribing.flights
        flight = flights.get(question)
        if flight is None or not self._joins(flight):
            self._take_off(question)

    def _take_off(self, question: _Question) -> None:
        channel, position, limit = question
        flights = self._hub.subscribing.flights
        flight = _Flight(self)

        def answered(result: ReadResult) -> None:
            flight.is_over = True
            if flights.get(question) is flight:
                del flights[question]
            for reading in flight.readings[1:]:
                reading._share(result)
            self._answered(result)

        self._hub.broker.read(Read(channel, self._hub.namespaces.of(channel), position, limit), answered)
        # Most brokers of one process answer inside the question.
        if not flight.is_over:
            flights[question] = flight

    def _joins(self, flight: _Flight) -> bool:
        """Share a read that began before this subscription; what the feed brought since then is taken from a companion.

        Without one whose subscription still keeps aside all that was fed since before the read, nobody may join.
        """
        companion = flight.readings[-1]._subscription
        if companion.stale or companion.stage is not Stage.READING or self._hub.channels.find(companion) is None:
            return False
        waiting = [publication for publication in companion.waiting or () if not publication.transient]
        self._subscription.waiting = waiting or None
        flight.readings.append(self)
        return True

    def _share(self, result: ReadResult) -> None:
        """Use the answer to another's question; what goes wrong here is nobody else's affair."""
        try:
            self._answered(result)
        except Exception as error:
            self._hub.subscribing.end(self._subscription)
            self._subscription.session.fail(self._command.id, self._hub.as_refusal(error))
            self._finish()

    def _answered(self, result: ReadResult) -> None:
        subscription, since = self._subscription, self._command.since
        if any(publication.epoch != result.position.epoch for publication in subscription.waiting or ()):
            # The answer and the feed speak of two lives of the channel: one of them is over.
            subscription.stale = True
        channel = self._still_wanted(result.error)
        if channel is None:
            return
        wants_gap = isinstance(since, base.SincePosition)
        recovered = wants_gap and result.complete
        gap = result.publications if recovered or not wants_gap or type(self._command) is base.Follow else ()
        is_new = not recovered and not (wants_gap and type(self._command) is base.Follow)
        retained = (result.retained,) if result.retained is not None and is_new else ()
        if any((item.epoch, item.offset) == (each.epoch, each.offset) for item in retained for each in gap):
            # What was asked for has it already, in its place.
            retained = ()
        if retained:
            self._hub.permissions.authorize(subscription.session.actor, Action.RETAINED, subscription.name)
        subscription.epoch = result.position.epoch
        subscription.after = result.position.offset
        channel.epoch = channel.epoch or result.position.epoch
        reply = base.Subscribed(self._command.id, subscription.name, result.position, None, recovered)
        self._go_live(channel, reply, [*retained, *gap])

    def _still_wanted(self, error: int) -> "Channel | None":
        """Return the channel if the answer can be used; end or repeat the read otherwise."""
        subscription = self._subscription
        channel = self._hub.channels.find(subscription)
        if channel is None or subscription.session.is_over:
            self._finish()
            return None
        if subscription.stale:
            subscription.stale = False
            subscription.waiting = None
            if self._reads < _READS:
                self._read()
                return None
            error = Code.NOT_AVAILABLE
        if error:
            self._hub.subscribing.end(subscription)
            subscription.session.fail(self._command.id, ChappeError(error))
            self._finish()
            return None
        return channel

    def _go_live(self, channel: "Channel", reply: base.Subscribed, gap: list[Publication]) -> None:
        subscription = self._subscription
        session = subscription.session
        encoder = session.protocol.encoder
        session.protocol.entered(subscription.name)
        session.link.limit(session.protocol.frame_bytes[1])
        session.answer(reply)
        waiting = [item for item in subscription.waiting or () if not _told(subscription, item)]
        subscription.waiting = None
        encode = self._hub.subscribing.encode
        frames = [frame for item in (*gap, *waiting) if (frame := encode(encoder, item)) is not None]
        if frames:
            session.link.send(_bundle(frames))
        subscription.brought = next((place for item in (*gap, *waiting) if (place := _place(subscription, item))), 0)
        if waiting:
            subscription.after = max(subscription.after, *(_place(subscription, item) for item in waiting))
        self._hub.counters.recovered += len(gap)
        subscription.stage = Stage.FOLLOWING
        if self._is_level(channel):
            self._hub.delivery.join_audience(channel, subscription)
        self._hub.rooms.entered(channel, subscription)
        self._finish()

    def _is_level(self, channel: "Channel") -> bool:
        """Whether the feed has brought all that the answer told."""
        subscription = self._subscription
        if is_pattern(subscription.name):
            return channel.fed >= subscription.after
        return channel.epoch == subscription.epoch and channel.fed >= subscription.after

    def _finish(self) -> None:
        self._finished = True
        # The first read may answer inside `start`; a repeated one inside the answer of the one before.
        if self._holds:
            self._subscription.session.release()


class _PatternReading(_Reading):
    """The same for a pattern: its place is a position in the namespace's log."""

    __slots__ = ()

    def _ask(self) -> None:
        since = self._command.since
        position = since.position if isinstance(since, base.SincePosition) else None
        limit = self._hub.limits.recovery_publications if position is not None else 0
        self._hub.broker.read_log(ReadLog(self._command.channel, position, limit), self._log_answered)

    def _log_answered(self, result: ReadLogResult) -> None:
        channel = self._still_wanted(result.error)
        if channel is None:
            return
        since = self._command.since
        recovered = isinstance(since, base.SincePosition) and since.position is not None and result.complete
        self._subscription.after = result.sequence
        reply = base.Subscribed(self._command.id, self._subscription.name, None, result.position, recovered)
        is_given = recovered or (type(since) is base.SincePosition and type(self._command) is base.Follow)
        gap = result.publications if is_given else result.retained
        self._go_live(channel, reply, [each for each in gap if self._hub.channels.is_readable(each.channel)])


def _told(subscription: Subscription, publication: Publication) -> bool:
    """Whether the answer had this publication already."""
    if publication.transient:
        return False
    if is_pattern(subscription.name):
        return publication.log <= subscription.after
    return publication.offset <= subscription.after


def _place(subscription: Subscription, publication: Publication) -> int:
    """Return where a publication is in what the subscription follows; 0 if it is nowhere."""
    if publication.transient or publication.retained:
        return 0
    return publication.log if is_pattern(subscription.name) else publication.offset


def _bundle(frames: list[Frame]) -> Frame:
    return frames[0] if len(frames) == 1 else Bundle.of(frames)
