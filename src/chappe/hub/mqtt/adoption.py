"""Sessions taken up from their records: after a restart, of nodes that are gone, of clients that come here."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from chappe.hub.mqtt.away import PendingWill, end_of
from chappe.hub.mqtt.keeping import Keeping
from chappe.hub.mqtt.records import Record, away_from, said_by
from chappe.protocols.mqtt.window import Delivery, Flight

if TYPE_CHECKING:
    from chappe.hub.mqtt.service import MqttService
    from chappe.hub.mqtt.sessions import Sessions

#: What clients get to come back in before the wills of those that a hub had when it ended are said, seconds.
GRACE_S: Final = 10.0


class Adoption:
    """Takes sessions up.

    Attributes:
        adopted: counted.
    """

    def __init__(self, service: "MqttService", sessions: "Sessions", keeping: Keeping) -> None:
        self.adopted = 0
        self._service = service
        self._hub = service.hub
        self._sessions = sessions
        self._keeping = keeping
        # Those that are being taken up, with who waits for that.
        self._adopting: dict[str, list[Callable[[bool], None]]] = {}

    def adopt_all(self, done: Callable[[], None] | None = None) -> None:
        """Look after the sessions of nodes that are gone; of several nodes that are left one takes each."""
        cluster = self._hub.cluster

        def found(records: list[Record]) -> None:
            left = len(records)

            def adopted(stored: bool = True) -> None:
                nonlocal left
                left -= 1
                if not left and done is not None:
                    done()

            if not records and done is not None:
                done()
            for record in records:
                self._sessions.need(record.client_id, [each.filter for each in record.filters], told=False)
                is_known = record.client_id in self._sessions.live or record.client_id in self._sessions.away
                is_elsewhere = cluster is not None and (
                    record.node in cluster.nodes.others or cluster.node_for(record.client_id) is not None
                )
                if is_known or is_elsewhere or (cluster is not None and record.node == self._hub.node):
                    adopted()
                elif cluster is None:
                    self._recall(record, adopted)
                else:
                    self._adopt_if_gone(record, adopted)

        self._keeping.read_all(found)

    def _adopt_if_gone(self, found: Record, done: Callable[[bool], None]) -> None:
        """Take up a session of a node that is gone, unless another one did meanwhile."""

        def read(record: Record | None, answered: bool) -> None:
            if record is not None and record.node == found.node:
                self.adopt(record, done)
            else:
                done(False)

        self._keeping.read(found.client_id, read)

    def adopt(self, record: Record, done: Callable[[bool], None]) -> None:
        """Take up a session as its record was read; `done` learns whether it is here.

        Nobody else writes that record from then on: a node that has the session and was taken for gone finds out
        before it sends anything for which it has to be written.
        """
        client_id = record.client_id
        waiting = self._adopting.get(client_id)
        if waiting is not None:
            waiting.append(done)
            return
        self._adopting[client_id] = [done]

        def written(stored: bool) -> None:
            if stored:
                self._recall(record, finish)
            else:
                finish(False)

        def finish(stored: bool) -> None:
            for told in self._adopting.pop(client_id):
                told(stored)

        self._keeping.save(client_id, lambda: replace(record, node=self._hub.node), written)

    def _recall(self, record: Record, done: Callable[[bool], None]) -> None:
        """Look after a session that was written down, as if its connection had ended now, if it had one."""

        def recalled(flights: list[Flight], waiting: list[Delivery]) -> None:
            if record.client_id not in self._sessions.live and record.client_id not in self._sessions.away:
                self._hold_again(record, flights, waiting)
            done(True)

        self._keeping.recall(record, recalled)

    def _hold_again(self, record: Record, flights: list[Flight], waiting: list[Delivery]) -> None:
        clock = self._hub.clock
        self.adopted += 1
        expires_at = end_of(record.expiry_s, clock.now())
        if record.expires_ms:
            expires_at = clock.now() + (record.expires_ms - clock.wall_ms()) / 1_000
        away = away_from(record, flights, waiting, expires_at)
        pending, will_s = None, 0.0
        if record.will is not None:
            command, claims = said_by(record.will)
            pending = PendingWill(command, None, claims)
            will_s = max(record.will.delay_s, GRACE_S)
            if record.will.due_ms:
                will_s = max(0.0, (record.will.due_ms - clock.wall_ms()) / 1_000)
        self._sessions.hold(away, pending, will_s)
        self._sessions.save_away(away)
        self._service.groups.settle(away)
