"""One node's part in a cluster: put together here, asked by the hub."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from chappe.hub.cluster.bus import PREFIX, Bus, Tell
from chappe.hub.cluster.locking import SharedLocking
from chappe.hub.cluster.names import SharedNames
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.cluster.records import Records
from chappe.hub.cluster.rooms import SharedRooms
from chappe.model.publication import Publication

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Characters of a node's id; a session's handle begins with it.
NODE_CHARS = 8


class Cluster:
    """What a hub knows of the other nodes, and does with them."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self.bus = Bus(hub.node, hub.broker, hub.clock, hub.log)
        self.nodes = Nodes(self.bus, hub.clock, hub.log)
        self.records = Records(hub.broker, hub.clock)
        self.names = SharedNames(hub, self.bus, self.nodes, self.records)
        self.locking = SharedLocking(hub, self.bus, self.nodes, self.records)
        self.rooms = SharedRooms(hub, self.bus, self.nodes)
        self.bus.on("session.resume", self._resume)
        self.bus.on("session.end", self._end)
        self.bus.on("session.unsubscribe", self._unsubscribe)

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
        self.nodes.stop()
        self.bus.stop()

    def published(self, publication: Publication) -> None:
        """Take what the feed brings on a channel of the hub's own."""
        self.bus.receive(publication)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Learn that messages of other nodes may have been lost."""
        self.rooms.interrupted(channels)

    def node_of(self, handle: str) -> str | None:
        """Return the other node that a handle is of, if it is alive; None: it is of this one, or of nobody."""
        node = handle[:NODE_CHARS]
        return node if node in self.nodes.others else None

    def resume(self, handle: str, user: str | None, done: Callable[[str | None], None]) -> None:
        """Ask the node that gave a handle out what it stands for; the session ends there. None: it is worth nothing."""
        node = self.node_of(handle)
        if node is None:
            done(None)
            return
        question = {"handle": handle, "user": user}
        self.bus.ask("session.resume", question, (node,), lambda answers: done(answers.get(node)))

    def end(self, what: dict[str, Any], done: Callable[[int], None]) -> None:
        """End sessions of other nodes: of a `user`, with a `session` id, or of a `token`; `done` gets how many."""
        self.bus.ask("session.end", what, self.nodes.others, lambda answers: done(sum(answers.values())))

    def unsubscribe(self, what: dict[str, Any], done: Callable[[Sequence[int]], None]) -> None:
        """End the subscription to a `channel` of a `user` or a `session` on other nodes.

        `done` gets how many ended on each, -1 where there is no such session.
        """
        self.bus.ask("session.unsubscribe", what, self.nodes.others, lambda answers: done(list(answers.values())))

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
            "chappe_presence_lists_asked_total": self.rooms.lists_asked,
        }

    def _resume(self, sender: str, body: Any, answer: Tell) -> None:
        answer(self._hub.resumption.give_away(body["handle"], body["user"]))

    def _end(self, sender: str, body: Any, answer: Tell) -> None:
        found = self._hub.find_sessions(body.get("user"), body.get("session"), body.get("token"))
        for session in found:
            session.close(body["code"])
        answer(len(found))

    def _unsubscribe(self, sender: str, body: Any, answer: Tell) -> None:
        found = self._hub.find_sessions(body.get("user"), body.get("session"), None)
        answer(self._hub.subscribing.end_all(found, body["channel"]) if found else -1)


def is_own(channel: str) -> bool:
    """Tell whether a channel is the hub's own and none of its clients'."""
    return channel.startswith(PREFIX)
