"""What a broker knows of a channel, and what waits in it."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from chappe.brokers.nats.record import META_AGE_S, Record
from chappe.brokers.nats.streams import Message, StreamState
from chappe.brokers.nats.subjects import subject_of
from chappe.hub.contracts import Append, Outcome
from chappe.model.error_codes import Code
from chappe.model.position import Position

#: Channels remembered beside those that are in use; each is some hundred bytes, and anybody may ask for names.
MOST_CHANNELS: Final = 100_000
#: How long what was read of a channel holds: well within the life of its last message.
_FRESH_S: Final = META_AGE_S / 4

NOWHERE: Final = Position("", 0)
UNAVAILABLE: Final = Outcome(Code.NOT_AVAILABLE, NOWHERE)


class Batch:
    """An `append` that is not answered yet."""

    __slots__ = ("channels", "done", "numbers", "outcomes", "unknown")

    def __init__(self, count: int, done: Callable[[Sequence[Outcome]], None]) -> None:
        self.done = done
        self.outcomes: list[Outcome] = [UNAVAILABLE] * count
        self.unknown = count
        self.channels: list[Channel] = []
        self.numbers: list[int] = []


class Ticket:
    """One publication on its way."""

    __slots__ = ("batch", "channel", "index", "item", "number")

    def __init__(self, item: Append, channel: "Channel", batch: Batch, index: int, number: int) -> None:
        self.item = item
        self.channel = channel
        self.batch = batch
        self.index = index
        self.number = number


class Channel:
    """One channel of one stream.

    Attributes:
        birth: sequence of the mark of its birth, 0: not known.
        fresh_until: until when that is believed, by the broker's clock.
        batches: not answered yet, in order.
        waiting: not sent yet, in order; what comes meanwhile waits behind.
        in_flight: sent and not known.
        told: the newest sequence that was acknowledged here.
        opening: whether somebody finds out about its birth.
        since_trim: publications since its stream was asked to keep no more than wanted.
    """

    __slots__ = (
        "batches",
        "birth",
        "epoch",
        "fresh_until",
        "in_flight",
        "name",
        "opening",
        "since_trim",
        "state",
        "subject",
        "told",
        "tokens",
        "waiting",
    )

    def __init__(self, name: str, state: StreamState) -> None:
        self.name = name
        self.state = state
        self.tokens = subject_of(name)
        self.subject = state.prefix + self.tokens
        self.birth = 0
        self.epoch = ""
        self.fresh_until = 0.0
        self.batches: deque[Batch] = deque()
        self.waiting: deque[Ticket] = deque()
        self.in_flight = 0
        self.told = 0
        self.opening = False
        self.since_trim = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything here."""
        return not (self.batches or self.opening)

    def is_known(self, now: float) -> bool:
        """Tell whether its birth is known well enough to publish."""
        return self.birth > 0 and now < self.fresh_until

    def touch(self, now: float) -> None:
        """Believe its birth for longer: something newer of it was seen."""
        self.fresh_until = now + _FRESH_S

    def learn(self, birth: int, now: float) -> bool:
        """Take its birth; return whether this is another life than the one known before."""
        changed = self.birth not in (0, birth)
        if self.birth != birth:
            self.birth = birth
            self.told = 0
            self.epoch = f"{self.state.id}-{birth:x}"
        self.touch(now)
        return changed

    def position(self, sequence: int) -> Position:
        """Return a sequence as a position; the mark of the birth itself is the beginning."""
        return Position(self.epoch, sequence if sequence > self.birth else 0)

    def sequence(self, offset: int) -> int:
        """Return what the last sequence of the subject is if the channel is at an offset."""
        return offset or self.birth


class Channels:
    """All channels that are known; those longest unused go first."""

    def __init__(self, main: StreamState, live: StreamState) -> None:
        self._main = main
        self._live = live
        self._channels: OrderedDict[tuple[str, bool], Channel] = OrderedDict()

    def get(self, name: str, kept: bool) -> Channel:
        """Return a channel, made now if it was not known."""
        channel = self._channels.get((name, kept))
        if channel is None:
            channel = self._channels[name, kept] = Channel(name, self._main if kept else self._live)
            if len(self._channels) > MOST_CHANNELS:
                self._make_room()
        return channel

    def forget(self) -> None:
        """Know nothing any more: the streams are others."""
        for channel in self._channels.values():
            channel.birth = 0

    def all(self) -> Iterable[Channel]:
        """Return every channel."""
        return self._channels.values()

    def __len__(self) -> int:
        return len(self._channels)

    def _make_room(self) -> None:
        for _ in range(16):
            key, channel = next(iter(self._channels.items()))
            if channel.is_idle:
                del self._channels[key]
                return
            self._channels.move_to_end(key)


def birth_of(message: Message) -> int:
    """Return the birth that a message belongs to; what somebody else wrote counts as a birth of its own."""
    record = message.record
    return record.birth if record is not None and record.birth else message.sequence


def is_publication(record: Record | None) -> bool:
    """Tell whether a message is more than the mark of a birth."""
    return record is not None and record.birth > 0
