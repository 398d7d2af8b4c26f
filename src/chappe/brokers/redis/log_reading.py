"""Reads of one partition's log: the channels that changed since a position, put in order."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from chappe.brokers.redis.connection import Command
from chappe.brokers.redis.entries import Keys
from chappe.brokers.redis.reading import Ask, Origin, Question, Reader
from chappe.brokers.redis.scripts import CHANGED
from chappe.hub.namespaces import Namespace
from chappe.model.publication import Publication

#: Channels that are read at once; the next are asked for as answers come.
_AT_ONCE: Final = 128
#: What an unknown namespace keeps is decided by those who publish: reading by log trims nothing.
_ANY: Final = Namespace(name="")


class Changes:
    """What channels of one partition have after a log position.

    Attributes:
        failed: the server could not tell.
        generation, log: of the partition, at the moment that the names were read.
        forgotten: log position of the last channel that was forgotten; before it nobody can tell what is missing.
        publications: after the position and up to `log`, in log order.
        lost: channels that lack something after the position.
        passed: channels that had a transient publication after it.
        retained: of channels whose slot is filled.
    """

    def __init__(
        self,
        ask: Ask,
        keys: Keys,
        origin: Callable[[int], Origin],
        wants: Callable[[str], bool],
        done: Callable[["Changes"], None],
    ) -> None:
        self.failed = False
        self.generation = ""
        self.log = 0
        self.forgotten = 0
        self.publications: list[Publication] = []
        self.lost: list[str] = []
        self.passed: list[str] = []
        self.retained: list[Publication] = []
        self._ask = ask
        self._keys = keys
        self._origin = origin
        self._wants = wants
        self._done = done
        self._since: int | None = None
        self._names: list[str] = []
        self._pending = 0
        self._asking = False

    def start(self, since: int | None, *, retained: bool = True) -> None:
        """Ask for what came after a position; None: only for the present one, and what is retained."""
        self._since = since
        command: Command = (
            "EVALSHA",
            CHANGED.sha,
            3,
            self._keys.state,
            self._keys.index,
            self._keys.slots,
            "" if since is None else since,
        )
        self._ask(command, lambda answer: self._named(answer, retained))

    def _named(self, answer: Any, retained: bool) -> None:
        if not isinstance(answer, list):
            self.failed = True
            self._done(self)
            return
        generation, self.log, self.forgotten, changed, slots = answer
        self.generation = generation.decode()
        names = dict.fromkeys(each.decode() for each in (*changed, *(slots if retained else ())))
        self._names = [name for name in names if self._wants(name)]
        self._go_on()

    def _go_on(self) -> None:
        if self._asking:
            return
        self._asking = True
        while self._names and self._pending < _AT_ONCE and not self.failed:
            self._pending += 1
            since = self.log if self._since is None else self._since
            question = Question(self._names.pop(), _ANY, "log", "", since)
            Reader(self._ask, self._keys, self._origin(self._keys.number), question, self._read).start()
        self._asking = False
        if not self._pending:
            self.publications.sort(key=_log_of)
            self.retained.sort(key=_log_of)
            self._done(self)

    def _read(self, reader: Reader) -> None:
        self._pending -= 1
        part = reader.part
        if part is None:
            self.failed = True
        else:
            if part.retained is not None:
                self.retained.append(part.retained)
            if self._since is not None:
                self._take(reader, part.found, part.trimmed, part.passed)
        self._go_on()

    def _take(self, reader: Reader, found: Iterable[Publication], trimmed: int, passed: int) -> None:
        since, name = self._since or 0, reader.question.channel
        # What came after the names were read comes by the feed.
        self.publications.extend(each for each in found if since < each.log <= self.log)
        if trimmed > since or reader.is_cut:
            self.lost.append(name)
        if passed > since:
            self.passed.append(name)


def _log_of(publication: Publication) -> int:
    return publication.log
