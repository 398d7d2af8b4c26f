"""Subscribe and unsubscribe, with recovery: the whole gap or `recovered: false`, never half of it.

The channel is attached to the feed before its history is read, so a publication made meanwhile is in the answer, or in
the feed, or in both. What the feed brings during the read is kept aside and merged behind the answer; what is in both
goes out once.

Whoever asks what is being read already shares the answer, and whoever asks later is answered from what `recovery` kept:
when a hub comes back and a thousand clients ask for their gaps, the broker is read once.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from chappe.hub.contracts import Read, ReadLog, ReadLogResult, ReadResult
from chappe.hub.permissions import Action
from chappe.hub.reading import ENTRY_BYTES, fitting_of
from chappe.hub.recovery import Flight
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


_Encoding: TypeAlias = tuple[base.Encoder, str, str, int, bool]
"""A publication for the clients of one protocol: encoder, channel, epoch, offset, whether it is retained."""


class Subscribing:
    """Carries out `subscribe` and `unsubscribe`.

    Attributes:
        asked: the commands that wait for a history, by their subscription.
    """

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self.asked: dict[Subscription, int] = {}
        self._frames: dict[_Encoding, Frame] = {}
        self._bundles: dict[tuple[base.Encoder, int], tuple[Sequence[Publication], Frame]] = {}

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
        """Take a subscription away; with a code the session is told (2000-2499 final, 2500-2999 subscribe again).

        One that was not answered yet never began: its command is refused, with 103 or 108.
        """
        session = subscription.session
        session.unsubscribed(subscription)
        channel = self._hub.channels.discard(subscription)
        if channel is not None:
            if not channel.subscriptions:
                self._hub.recovery.forget(channel)
            self._hub.rooms.left(channel, session)
        asked = self.asked.pop(subscription, None)
        if not code or session.is_over:
            return
        if asked is None:
            self._tell_end(session, subscription.name, code)
        else:
            is_final = code < Code.UNSUBSCRIBED_INSUFFICIENT_STATE
            session.fail(asked, ChappeError(Code.PERMISSION_DENIED if is_final else Code.NOT_AVAILABLE))

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
        self._hub.recovery.forget(channel)
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
                self._forget_soon()
                self._frames[key] = frame
        return frame

    def bundle(self, encoder: base.Encoder, gap: Sequence[Publication]) -> Frame | None:
        """Encode a gap, once for all who are given this very list in the same turn; None: nothing is to be said."""
        known = self._bundles.get((encoder, id(gap)))
        if known is not None:
            return known[1]
        frames = [frame for each in gap if (frame := self.encode(encoder, each)) is not None]
        if not frames:
            return None
        made = frames[0] if len(frames) == 1 else Bundle.of(frames)
        self._forget_soon()
        # With the list itself, so that no other one can have its id.
        self._bundles[encoder, id(gap)] = gap, made
        return made

    def _forget_soon(self) -> None:
        """Let go of what is encoded when this turn is over."""
        if not self._frames and not self._bundles:
            self._hub.clock.call_later(0, self._forget)

    def _forget(self) -> None:
        self._frames.clear()
        self._bundles.clear()

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


class _Reading:
    """One read of history for one new subscription."""

    __slots__ = ("_command", "_finished", "_holds", "_hub", "_read_from", "_reads", "_subscription")

    def __init__(self, hub: "HubCore", subscription: Subscription, command: base.Subscribe) -> None:
        self._hub = hub
        self._subscription = subscription
        self._command = command
        self._reads = 0
        self._read_from: Position | None = None
        self._holds = False
        self._finished = False

    def start(self) -> None:
        """Read; the session's later commands wait for the answer."""
        self._read()
        if not self._finished:
            self._holds = True
            self._hub.subscribing.asked[self._subscription] = self._command.id
            self._subscription.session.hold()

    def _read(self) -> None:
        self._reads += 1
        self._ask()

    def _ask(self) -> None:
        channel = self._hub.channels.find(self._subscription)
        assert channel is not None, "a subscription reads only while it is in force"
        asked = self._command.since
        since, limit = None, 0
        if isinstance(asked, base.SincePosition):
            since, limit = (
                self._read_from or Position(asked.epoch, asked.offset),
                self._hub.limits.recovery_publications,
            )
            known = self._hub.recovery.answer(channel, since)
            # Who follows gets what is left of a gap that is lost, which is not kept.
            if known is not None and (known.complete or type(self._command) is not base.Follow):
                self._hub.counters.recovery_shared += 1
                self._answered(known)
                return
        elif isinstance(asked, int):
            limit = min(asked, self._hub.limits.history_page)
        elif asked == "latest":
            limit = 1
        for flight in channel.flights:
            if flight.serves(since, limit):
                flight.guests.append((self._share, len(flight.noted)))
                return
        self._take_off(channel, Flight(since, limit))

    def _take_off(self, channel: "Channel", flight: Flight) -> None:
        is_asking = True
        channel.flights = (*channel.flights, flight)
        if flight.since is not None:
            self._hub.counters.recovery_reads += 1

        def answered(result: ReadResult) -> None:
            if flight in channel.flights:
                channel.flights = tuple(each for each in channel.flights if each is not flight)
                if not is_asking:
                    self._hub.recovery.learn(channel, flight, result)
            for guest, noted in flight.guests:
                guest(flight, noted, result)
            self._answered(result)

        request = Read(channel.name, channel.namespace, flight.since, flight.limit)
        try:
            self._hub.broker.read(request, answered)
        except BaseException:
            channel.flights = tuple(each for each in channel.flights if each is not flight)
            raise
        is_asking = False

    def _share(self, flight: Flight, noted: int, result: ReadResult) -> None:
        """Use the answer to another's question; what goes wrong here is nobody else's affair."""
        subscription = self._subscription
        try:
            asked = self._command.since
            since = self._read_from
            if since is None and isinstance(asked, base.SincePosition):
                since = Position(asked.epoch, asked.offset)
            found = flight.part(result, since)
            if found is not None or subscription.stale or self._hub.channels.find(subscription) is None:
                # What the feed brought before this subscription was there is missing in the answer.
                subscription.waiting = [*flight.noted[:noted], *(subscription.waiting or ())] or None
                if since is not None:
                    self._hub.counters.recovery_shared += 1
                self._answered(found or result)
            else:
                self._ask()
        except Exception as error:
            self._hub.subscribing.end(subscription)
            subscription.session.fail(self._command.id, self._hub.as_refusal(error))
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
        follows = type(self._command) is base.Follow
        if follows and self._is_of_another_life(result):
            self._read_from = Position(result.position.epoch, 0)
            self._read()
            return
        recovered = (
            wants_gap
            and result.complete
            and self._read_from is None
            and (follows or self._is_small(result.publications))
        )
        if recovered or (wants_gap and follows):
            gap = result.publications
        else:
            gap = () if wants_gap else self._newest(result.publications)
        is_new = not recovered and not (wants_gap and follows)
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
        # As it is where it can be: who shares an answer shares what it is encoded to.
        self._go_live(channel, reply, [*retained, *gap] if retained else gap)

    def _is_of_another_life(self, result: ReadResult) -> bool:
        """Whether what is there began behind where somebody was who takes what is left: then all of it is left.

        A channel where nothing was kept is forgotten after a while, and is another one for the next who publishes.
        """
        asked, epoch = self._command.since, result.position.epoch
        if not isinstance(asked, base.SincePosition) or not result.position.offset or self._reads >= _READS:
            return False
        return epoch != asked.epoch and (self._read_from is None or self._read_from.epoch != epoch)

    def _is_small(self, gap: Sequence[Publication]) -> bool:
        """Whether a gap may be given whole; what cannot be too large is not counted."""
        limits = self._hub.limits
        if len(gap) * (limits.message_bytes + ENTRY_BYTES) <= limits.recovery_bytes:
            return True
        if sum(len(publication.payload) + ENTRY_BYTES for publication in gap) <= limits.recovery_bytes:
            return True
        self._hub.counters.recovery_refused += 1
        return False

    def _newest(self, publications: Sequence[Publication]) -> Sequence[Publication]:
        """Return the newest of these that a page of history may have together; one always."""
        fitting = fitting_of(reversed(publications), self._hub.limits.history_page_bytes)
        if fitting < len(publications):
            self._hub.counters.history_cut += 1
        return publications[len(publications) - fitting :]

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

    def _go_live(self, channel: "Channel", reply: base.Subscribed, gap: Sequence[Publication]) -> None:
        subscription = self._subscription
        session = subscription.session
        encoder = session.protocol.encoder
        session.protocol.entered(subscription.name)
        session.link.limit(session.protocol.frame_bytes[1])
        session.answer(reply)
        waiting = [item for item in subscription.waiting or () if not _told(subscription, item)]
        subscription.waiting = None
        frame = self._hub.subscribing.bundle(encoder, [*gap, *waiting] if waiting else gap)
        if frame is not None:
            session.link.send(frame)
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
        self._hub.subscribing.asked.pop(self._subscription, None)
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
