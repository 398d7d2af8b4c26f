"""What comes from a server by pub/sub, made into a feed that keeps the contract."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from chappe.brokers.redis.entries import Message, decode_message
from chappe.hub.contracts import BrokerSink
from chappe.hub.pattern_index import PatternIndex
from chappe.model.channels import is_pattern
from chappe.model.publication import Publication

_UNKNOWN: Final = ("", -1)
Failed = Callable[[Exception], None]


class Numbers:
    """Numbers for what the feeds of several servers give on, in the order they do it.

    Attributes:
        last: the last one given.
    """

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """Return the next one."""
        self.last += 1
        return self.last


class Attached:
    """What the hub is attached to; all feeds of a broker look at it.

    Attributes:
        channels, patterns: the names.
    """

    def __init__(self) -> None:
        self.channels: set[str] = set()
        self.patterns: set[str] = set()
        self._index: PatternIndex[None] = PatternIndex()

    def add(self, name: str) -> bool:
        """Add a name; return False if it was there."""
        names = self.patterns if is_pattern(name) else self.channels
        if name in names:
            return False
        names.add(name)
        if names is self.patterns:
            self._index.add(name, None)
        return True

    def discard(self, name: str) -> bool:
        """Take a name out; return False if it was not there."""
        names = self.patterns if is_pattern(name) else self.channels
        if name not in names:
            return False
        names.discard(name)
        if names is self.patterns:
            self._index.discard(name, None)
        return True

    def wants(self, channel: str) -> bool:
        """Tell whether publications of a channel belong to the feed."""
        return channel in self.channels or (bool(self.patterns) and bool(self._index.match(channel)))


class Feed:
    """Takes the messages of one server in their order and gives each publication on once.

    A message comes once for every way in which this hub follows its channel, and the copies are neighbours: one script
    sends them, and nothing comes between. Offsets tell whether something is missing, log positions whether something
    came already. What was appended here waits until its outcome was told, and all that came later with it.

    Attributes:
        log: with one partition: everything up to this log position was given on, or told as interrupted.
        malformed: messages that no hub made.
        told: what was appended here up to this number was answered.
        node: who "here" is.
    """

    def __init__(
        self, node: str, attached: Attached, partition_of: Callable[[str], int], numbers: Numbers | None
    ) -> None:
        """Take what all feeds share.

        Args:
            partition_of: tells the partition of a channel.
            numbers: for what is given on, if there are several partitions and so no log for all of it.
        """
        self.node = node
        self.log = 0
        self.malformed = 0
        self.told = 0
        self.sink: BrokerSink | None = None
        self._attached = attached
        self._partition_of = partition_of
        self._numbers = numbers
        self._generations: dict[int, str] = {}
        # Last position of each channel that is attached by its name.
        self._places: dict[str, tuple[str, int]] = {}
        self._last = b""
        self._aside: list[bytes] | None = None
        self._giving = False
        # What is to be told: a publication with its number if it was appended here, or channels that are interrupted.
        self._queue: deque[_Item] = deque()

    # --- Taking ------------------------------------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Take a message as it came."""
        if data == self._last:
            return
        self._last = data
        if self._aside is not None:
            self._aside.append(data)
            return
        try:
            message = decode_message(data)
        except ValueError:
            self.malformed += 1
            return
        channel = message.entry.channel
        partition = self._partition_of(channel)
        if self._generations.get(partition) != message.generation:
            self.begin(partition, message.generation, message.log - 1)
        if not self._attached.wants(channel) or not self._advance(message):
            return
        log = message.log if self._numbers is None else self._numbers.next()
        number = message.entry.number if message.entry.node == self.node else 0
        self._queue.append(_Item(message.publication(log), number, None))

    def put_aside(self) -> None:
        """Keep what comes until `resume`: what is older is being read."""
        if self._aside is None:
            self._aside = []

    def drop_aside(self) -> None:
        """Forget what was put aside: what is older could not be read, and all of it is read again later.

        To take it would put the log behind what is missing.
        """
        self._aside = None
        self._last = b""

    def resume(self) -> None:
        """Take what was put aside."""
        aside, self._aside = self._aside, None
        for data in aside or ():
            self._last = b""
            self.take(data)

    def begin(self, partition: int, generation: str, log: int) -> None:
        """Learn that a partition is in another generation: nothing that was told of it holds any more."""
        known = self._generations.get(partition)
        self._generations[partition] = generation
        if known == generation:
            return
        if self._numbers is None:
            self._places.clear()
            self.log = log
            if known:
                self.interrupt(None)
            return
        lost = [name for name in self._places if self._partition_of(name) == partition]
        self.forget(lost)
        if known:
            self.interrupt_all(lost)

    def reached(self, log: int) -> None:
        """Learn that the server is at a log position at this point of the feed, so that nothing up to it is missing."""
        if self._aside is None:
            self.log = max(self.log, log)

    def knows(self, partition: int) -> str | None:
        """Return the generation of a partition, or None before the first."""
        return self._generations.get(partition)

    def look(self, channel: str, epoch: str, offset: int) -> None:
        """Compare with where a channel is, as the server says at this point of the feed."""
        if self._aside is not None or channel not in self._attached.channels:
            return
        known_epoch, known_offset = self._places.get(channel, _UNKNOWN)
        self._places[channel] = (epoch, offset)
        if known_epoch and (known_epoch != epoch or known_offset < offset):
            self.interrupt([channel])

    def fill(self, publications: Iterable[Publication]) -> None:
        """Give on what was missed, in the order of the log."""
        for publication in publications:
            channel = publication.channel
            if channel in self._attached.channels:
                self._step(channel, publication.epoch, publication.offset)
            self._queue.append(_Item(publication, 0, None))

    def place(self, channel: str) -> tuple[str, int]:
        """Return epoch and offset of the last publication of an attached channel; an empty epoch: unknown."""
        return self._places.get(channel, _UNKNOWN)

    def forget(self, channels: Iterable[str]) -> None:
        """Forget where channels are: they are not followed any more."""
        for channel in channels:
            self._places.pop(channel, None)

    def interrupt(self, channels: Sequence[str] | None) -> None:
        """Tell, at this point of the feed, that channels (None: all) may lack something."""
        if channels is None or channels:
            self._queue.append(_Item(None, 0, channels))

    def interrupt_all(self, channels: Sequence[str]) -> None:
        """Tell that these may lack something, and every pattern, since nobody knows whose channels a pattern has."""
        self.interrupt((*channels, *self._attached.patterns))

    def wants(self, channel: str) -> bool:
        """Tell whether publications of a channel belong to the feed."""
        return self._attached.wants(channel)

    def _advance(self, message: Message) -> bool:
        """Note where a channel is now; return False if it was there already."""
        if self._numbers is None:
            if message.log <= self.log:
                return False
            self.log = message.log
        channel, epoch, offset = message.entry.channel, message.epoch, message.offset
        if offset == 0 or channel not in self._attached.channels:
            return True
        known_epoch, known_offset = self._places.get(channel, _UNKNOWN)
        if known_epoch == epoch and offset <= known_offset:
            return False
        self._step(channel, epoch, offset)
        return True

    def _step(self, channel: str, epoch: str, offset: int) -> None:
        """Note the next publication of an attached channel; one that does not follow the last tells a gap."""
        known_epoch, known_offset = self._places.get(channel, _UNKNOWN)
        self._places[channel] = (epoch, offset)
        if known_epoch and (known_epoch != epoch or known_offset + 1 != offset):
            self.interrupt([channel])

    # --- Giving on ---------------------------------------------------------------------------------------------------

    def give(self, failed: Failed) -> None:
        """Give on what may be told now; does nothing inside itself."""
        if self._giving:
            return
        self._giving = True
        queue = self._queue
        batch: list[Publication] = []
        while queue and queue[0].number <= self.told:
            item = queue.popleft()
            if item.publication is not None:
                batch.append(item.publication)
                continue
            self._tell(batch, failed)
            batch = []
            if self.sink is not None:
                guarded(partial(self.sink.interrupted, item.interrupted), failed)
        self._tell(batch, failed)
        self._giving = False
        if queue and queue[0].number <= self.told:
            self.give(failed)

    def _tell(self, batch: list[Publication], failed: Failed) -> None:
        if batch and self.sink is not None:
            guarded(partial(self.sink.published, batch), failed)


class _Item(NamedTuple):
    publication: Publication | None
    number: int
    interrupted: Sequence[str] | None


def guarded(action: Callable[[], None], failed: Failed) -> None:
    """Call back; a callback that raises is a bug of its owner, and what others wait for must arrive all the same."""
    try:
        action()
    except Exception as error:
        failed(error)
