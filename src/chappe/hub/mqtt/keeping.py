"""Sessions that outlive their hub: written down through the broker, where that keeps what it is given."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from chappe.hub.contracts import Append, Outcome, Read, ReadLog, ReadLogResult, ReadResult, Timer
from chappe.hub.mqtt.records import (
    PATTERN,
    Record,
    before,
    channel_of,
    decode_record,
    encode_record,
    flights_of,
    missing_of,
    namespace_of_records,
)
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols.mqtt.window import Delivery, Flight

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

Written: TypeAlias = Callable[[bool], None]
"""Learn whether a record is stored."""
Make: TypeAlias = Callable[[], Record | None]
"""Return a record as it is now; None: the session is over, and the record goes."""


class _Writing:
    """The writes of one record: one on its way, and one behind it for everybody who asked meanwhile."""

    __slots__ = ("make", "waiting")

    def __init__(self) -> None:
        self.make: Make | None = None
        self.waiting: list[Written] = []


class Keeping:
    """Writes records down and reads them.

    Where other nodes write them too, a record is only written in place of the one that was read, or of one of our own:
    a node that others took for gone finds that it lost its sessions, and neither sends nor writes anything for them.

    Attributes:
        on_lost: called with the client id of a session that another node took over, and with its record there.
        writes, failures, losses: counted.
        unread: records that nobody understands.
        lost: messages on their way that the log has no more.
    """

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self._namespace = namespace_of_records(hub.broker.durable)
        self._writing: dict[str, _Writing] = {}
        self._is_shared = hub.broker.shared
        # Where each record was when it was read or written last, and those of which that is not known for sure.
        self._places: dict[str, Position] = {}
        self._doubtful: set[str] = set()
        self.on_lost: Callable[[str, Record], None] = lambda client_id, record: None
        self.writes = self.failures = self.losses = self.unread = self.lost = 0

    def save(self, client_id: str, make: Make, done: Written | None = None) -> None:
        """Write a record down as it is when its turn comes; `done` learns when it stands.

        Records of one session are written one after the other; what is asked meanwhile is one write.
        """
        writing = self._writing.get(client_id)
        if writing is None:
            writing = self._writing[client_id] = _Writing()
            self._write(client_id, writing, make, [done] if done is not None else [])
            return
        writing.make = make
        if done is not None:
            writing.waiting.append(done)

    def is_writing(self, client_id: str) -> bool:
        """Whether a record is on its way, so that what is saved now goes to the broker later."""
        return client_id in self._writing

    def read(self, client_id: str, done: Callable[[Record | None, bool], None]) -> None:
        """Read a record; `done` gets it or None, and whether the broker answered."""

        def answered(result: ReadResult) -> None:
            if not result.error:
                self._note(client_id, result.position)
            done(self._decode(result.retained) if not result.error else None, not result.error)

        self._hub.broker.read(Read(channel_of(client_id), self._namespace), answered)

    def let_go(self, client_id: str) -> None:
        """Write a record no more: another node goes on from it as it is."""
        writing = self._writing.get(client_id)
        if writing is not None:
            told, writing.waiting, writing.make = writing.waiting, [], None
            for done in told:
                done(False)
        self._places.pop(client_id, None)

    def forget(self, client_id: str) -> None:
        """Forget where a record was: there is nothing to be written in it."""
        if client_id not in self._writing:
            self._places.pop(client_id, None)
            self._doubtful.discard(client_id)

    def read_all(self, done: Callable[[list[Record]], None]) -> None:
        """Read every record; none if the broker does not answer."""

        def answered(result: ReadLogResult) -> None:
            records = [self._decode(each) for each in result.retained] if not result.error else []
            done([each for each in records if each is not None])

        self._hub.broker.read_log(ReadLog(PATTERN), answered)

    def recall(self, record: Record, done: Callable[[list[Flight], list[Delivery]], None]) -> None:
        """Read what was on its way when a record was written."""
        missing = missing_of(record.underway)
        found: dict[int, Publication] = {}
        left = len(missing)

        def finish() -> None:
            self.lost += len(missing) - len(found)
            done(*flights_of(record.underway, found))

        if not missing:
            finish()
            return

        def take(index: int, offset: int, result: ReadResult) -> None:
            nonlocal left
            left -= 1
            for each in result.publications:
                if each.offset == offset:
                    found[index] = each
            if not left:
                finish()

        for index, each in missing:
            question = Read(each.channel, self._hub.namespaces.of(each.channel), before(each), 1)
            self._hub.broker.read(question, lambda result, index=index, each=each: take(index, each.offset, result))  # type: ignore[misc]

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {
            "chappe_mqtt_records_written_total": self.writes,
            "chappe_mqtt_records_failed_total": self.failures,
            "chappe_mqtt_records_lost_total": self.losses,
            "chappe_mqtt_records_unread_total": self.unread,
            "chappe_mqtt_records_lost_messages_total": self.lost,
        }

    def _write(self, client_id: str, writing: _Writing, make: Make, told: list[Written]) -> None:
        if client_id in self._doubtful or (self._is_shared and client_id not in self._places):
            self._make_sure(client_id, writing, make, told)
            return
        record = make()
        payload = encode_record(record) if record is not None else b""

        def answered(outcomes: Sequence[Outcome]) -> None:
            outcome = outcomes[0]
            if outcome.error == Code.CONFLICT:
                self._doubtful.add(client_id)
                self._write(client_id, writing, make, told)
                return
            if not outcome.error and record is not None:
                self._note(client_id, outcome.position)
            elif not outcome.error:
                self._places.pop(client_id, None)
            elif self._is_shared:
                self._doubtful.add(client_id)
            self._finish(client_id, writing, told, stored=not outcome.error)

        now_ms, expect = self._hub.clock.wall_ms(), self._places.get(client_id)
        if expect is not None and not expect.offset:
            expect = Position("", 0)
        channel = channel_of(client_id)
        entry = Append(channel, payload, Kind.BINARY, now_ms, self._namespace, expect=expect, retain=True)
        self._hub.broker.append((entry,), answered)

    def _finish(self, client_id: str, writing: _Writing, told: list[Written], *, stored: bool) -> None:
        self.writes += stored
        self.failures += not stored
        for done in told:
            done(stored)
        self._go_on(client_id, writing)

    def _make_sure(self, client_id: str, writing: _Writing, make: Make, told: list[Written]) -> None:
        """Find out whether a record is still ours, and write it then."""

        def answered(result: ReadResult) -> None:
            if result.error:
                self._finish(client_id, writing, told, stored=False)
                return
            record = self._decode(result.retained)
            self._doubtful.discard(client_id)
            self._places[client_id] = result.position
            if record is None or record.node == self._hub.node:
                self._write(client_id, writing, make, told)
            else:
                self._lose(client_id, writing, told, record)

        self._hub.broker.read(Read(channel_of(client_id), self._namespace), answered)

    def _lose(self, client_id: str, writing: _Writing, told: list[Written], record: Record) -> None:
        self.losses += 1
        told += writing.waiting
        writing.waiting, writing.make = [], None
        self._places.pop(client_id, None)
        self.on_lost(client_id, record)
        self._finish(client_id, writing, told, stored=False)

    def _note(self, client_id: str, position: Position) -> None:
        known = self._places.get(client_id)
        if self._is_shared and (known is None or known.epoch != position.epoch or known.offset < position.offset):
            self._places[client_id] = position

    def _go_on(self, client_id: str, writing: _Writing) -> None:
        make, writing.make = writing.make, None
        if make is None:
            if self._writing.get(client_id) is writing:
                del self._writing[client_id]
            return
        told, writing.waiting = writing.waiting, []
        self._write(client_id, writing, make, told)

    def _decode(self, publication: Publication | None) -> Record | None:
        if publication is None or not publication.payload:
            return None
        record = decode_record(publication.payload)
        self.unread += record is None
        return record


#: Messages after which a session is written down though its time has not come: what a crash repeats, or has to be read
#: again beside the queue of a session, stays a fraction of that queue.
_CHECKPOINT_MESSAGES: Final = 200


class Checkpoints:
    """Remembers which sessions went on, and says so every now and then."""

    def __init__(self, hub: "HubCore", interval_s: float, save: Callable[[Any], None]) -> None:
        self._hub = hub
        self._interval_s = interval_s
        self._save = save
        self._due: dict[Any, int] = {}
        self._timer: Timer | None = None

    def note(self, client: Any) -> None:
        """Have a session written down soon, which is done with one more message."""
        count = self._due.get(client, 0) + 1
        if count >= _CHECKPOINT_MESSAGES:
            self._due.pop(client, None)
            self._save(client)
            return
        self._due[client] = count
        if self._timer is None:
            self._timer = self._hub.clock.call_later(self._interval_s, self._save_all)

    def _save_all(self) -> None:
        self._timer = None
        due, self._due = self._due, {}
        for client in due:
            self._save(client)
