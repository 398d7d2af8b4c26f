"""One node's part in a cluster: put together here, asked by the hub."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypedDict

from chappe.hub.cluster.bus import Bus, Tell
from chappe.hub.cluster.heirs import Heirs
from chappe.hub.cluster.locking import SharedLocking
from chappe.hub.cluster.names import SharedNames
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.cluster.records import Records
from chappe.hub.cluster.revoking import SharedRevocations
from chappe.hub.cluster.rooms import SharedRooms
from chappe.model.error_codes import Code
from chappe.model.publication import Publication

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Characters of a node's id; a session's handle begins with it.
NODE_CHARS: Final = 8
#: How often a handle may have moved from node to node while its client heard nothing of it.
_HOPS: Final = 4


class _Resume(TypedDict):
    handle: str
    user: str | None


class _Resumed(TypedDict):
    """What a handle stood for, and the node that it was given to if it stands for nothing here."""

    id: str | None
    node: str | None


class _Sessions(TypedDict, total=False):
    """Which sessions are meant."""

    user: str | None
    session: str | None
    token: str | None
    code: int
    channel: str


class Cluster:
    """What a hub knows of the other nodes, and does with them.

    Attributes:
        on_interrupted: called when the feed, or messages of other nodes, may have lost something.
    """

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self.bus = Bus(hub.node, hub.broker, hub.clock, hub.log)
        self.nodes = Nodes(self.bus, hub.clock, hub.log)
        self.records = Records(hub.broker, hub.clock)
        self.names = SharedNames(hub, self.bus, self.nodes, self.records)
        self.locking = SharedLocking(hub, self.bus, self.nodes, self.records)
        self.rooms = SharedRooms(hub, self.bus, self.nodes)
        self.revoking = SharedRevocations(hub, self.bus, self.nodes)
        self.heirs = Heirs(hub, self.bus, self.nodes)
        self.on_interrupted: list[Callable[[], None]] = []
        self.bus.on("session.resume", self._resume, _Resume)
        self.bus.on("session.name", self._name, str)
        self.bus.on("session.end", self._end, _Sessions)
        self.bus.on("session.unsubscribe", self._unsubscribe, _Sessions)

    def start(self) -> None:
        """Begin; the broker has started."""
        self.bus.start()
        self.nodes.start()
        self.names.start()
        self.locking.start()
        self.rooms.start()

    def stop(self) -> None:
        """Tell the others that this node goes; its sessions have ended."""
        self.rooms.stop()
        self.locking.stop()
        self.names.stop()
        # In this order on the bus: who hears that we go may ask the heir at once.
        self.nodes.stop(self.heirs.leave())
        self.bus.stop()

    def published(self, publication: Publication) -> None:
        """Take what the feed brings on a channel of the hub's own."""
        self.bus.receive(publication)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Learn that messages of other nodes may have been lost."""
        self.rooms.interrupted(channels)
        for told in self.on_interrupted:
            told()
        if channels is None:
            # The engine may be another one, or have lost what it knew.
            self.names.hold_again()
            self.locking.hold_again()
            self.revoking.ask()

    def node_of(self, handle: str) -> str | None:
        """Return the other node that a handle is of, if it is alive; None: it is of this one, or of nobody."""
        node = handle[:NODE_CHARS]
        return node if node in self.nodes.others else None

    def node_for(self, name: str) -> str | None:
        """Return the other node that something with a name belongs to, the same on all nodes; None: it is this one.

        When a node comes or goes, only what belongs to that one moves.
        """
        nodes = (self._hub.node, *self.nodes.others)
        chosen = max(nodes, key=lambda node: hashlib.blake2b(f"{node} {name}".encode(), digest_size=8).digest())
        return None if chosen == self._hub.node else chosen

    def name_of(self, handle: str, done: Callable[[str | None], None]) -> None:
        """Ask the node that has a session which name that claimed, empty for none; None: the handle is worthless."""
        node = self._holder_of(handle)
        if node is None:
            done(None)
            return
        self.bus.ask("session.name", handle, (node,), lambda answers: done(answers.get(node)), of=str | None)

    def resume(self, handle: str, user: str | None, done: Callable[[str | None], None]) -> None:
        """Ask the node that gave a handle out, or its heir, what it stands for; the session ends there.

        `done` gets None if it is worth nothing.
        """
        node = self._holder_of(handle)
        if node is None:
            done(None)
            return
        self._ask_for(handle, user, node, _HOPS, done)

    def end(self, what: dict[str, Any], done: Callable[[int], None]) -> None:
        """End sessions of other nodes: of a `user`, with a `session` id, or of a `token`; `done` gets how many."""
        self.bus.ask("session.end", what, self.nodes.others, lambda answers: done(sum(answers.values())), of=int)

    def unsubscribe(self, what: dict[str, Any], done: Callable[[Sequence[int]], None]) -> None:
        """End the subscription to a `channel` of a `user` or a `session` on other nodes.

        `done` gets how many ended on each, -1 where there is no such session.
        """
        self.bus.ask(
            "session.unsubscribe", what, self.nodes.others, lambda answers: done(list(answers.values())), of=int
        )

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {
            "chappe_nodes": len(self.nodes.others) + 1,
            "chappe_nodes_lost_total": self.nodes.lost,
            "chappe_bus_sent_total": self.bus.sent,
            "chappe_bus_received_total": self.bus.received,
            "chappe_bus_malformed_total": self.bus.malformed,
            "chappe_bus_unanswered_total": self.bus.unanswered,
            "chappe_bus_incomplete_total": self.bus.incomplete,
            "chappe_records_changed_total": self.records.changes,
            "chappe_records_conflicts_total": self.records.conflicts,
            "chappe_records_failed_total": self.records.failures,
            "chappe_records_malformed_total": self.records.malformed,
            "chappe_sessions_left_total": self.heirs.left,
            "chappe_sessions_inherited_total": self.heirs.inherited,
            "chappe_presence_lists_asked_total": self.rooms.lists_asked,
        }

    def _ask_for(self, handle: str, user: str | None, node: str, hops: int, done: Callable[[str | None], None]) -> None:
        def answered(answers: dict[str, Any]) -> None:
            found: _Resumed = answers.get(node, _Resumed(id=None, node=None))
            # It may have come here meanwhile, and gone on; or the node left before it could answer.
            public_id = found.get("id") or self._hub.resumption.give_away(handle, user)
            told = found.get("node") or node
            further = told if told != node and told in self.nodes.others else self._holder_of(handle)
            if public_id is None and further not in (None, node) and hops:
                self._ask_for(handle, user, further, hops - 1, done)
            else:
                done(public_id)

        self.bus.ask("session.resume", _Resume(handle=handle, user=user), (node,), answered, of=_Resumed)

    def _resume(self, sender: str, body: _Resume, answer: Tell) -> None:
        handle = body["handle"]
        public_id = self._hub.resumption.give_away(handle, body["user"])
        former = self.heirs.given.get(handle)
        if public_id is not None:
            # Its client may come back with the same handle, if it never heard that it was taken.
            self.heirs.give(handle, sender)
        answer(_Resumed(id=public_id, node=former))

    def _name(self, sender: str, body: str, answer: Tell) -> None:
        answer(self._hub.resumption.name_of(body))

    def _holder_of(self, handle: str) -> str | None:
        """Return the other node that has what a handle stands for: it took it over, gave it out, or inherited it."""
        return self.heirs.node_for(handle, handle[:NODE_CHARS])

    def _end(self, sender: str, body: _Sessions, answer: Tell) -> None:
        found = self._hub.find_sessions(body.get("user"), body.get("session"), body.get("token"))
        for session in found:
            session.close(body.get("code", Code.DISCONNECTED))
        answer(len(found))

    def _unsubscribe(self, sender: str, body: _Sessions, answer: Tell) -> None:
        found = self._hub.find_sessions(body.get("user"), body.get("session"), None)
        answer(self._hub.subscribing.end_all(found, body.get("channel", "")) if found else -1)
