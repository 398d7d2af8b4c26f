"""What sessions left at a node that goes in good order is taken over by another one: their handles go on being good.

A node that leaves names its heir: the newest of the others, which is the last that will be restarted in its turn. It
tells it what its handles stand for, and then all nodes who that is. An heir that leaves has an heir itself; nodes that
come later are told of those before them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from chappe.hub.cluster.bus import Bus, Tell
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.connecting import Left

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Sessions told of in one message: some 150 bytes each.
AT_ONCE: Final = 1_000


class _Estate(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of what a node leaves.

    Attributes:
        sessions: what handles stand for.
        given: handles whose sessions went to other nodes before, and to which.
    """

    sessions: list[Left]
    given: dict[str, str]


class Heirs:
    """Passes on what sessions leave behind, and knows who has it.

    Attributes:
        given: handles whose sessions other nodes asked for, and who did; a client may come again with one.
        inherited, left: sessions taken over from others, and left to them.
    """

    def __init__(self, hub: "HubCore", bus: Bus, nodes: Nodes) -> None:
        self.given: dict[str, str] = {}
        self.inherited = self.left = 0
        self._hub = hub
        self._bus = bus
        self._nodes = nodes
        self._heirs: dict[str, str] = {}
        bus.on("session.inherit", self._inherit, _Estate)
        bus.on("session.heirs", self._told, dict[str, str])
        nodes.on_join.append(self._introduce)
        nodes.on_leave.append(self._remember)

    def leave(self) -> str | None:
        """Leave everything to another node and return which; None: there is no other."""
        heir = self._nodes.newest
        if heir is None:
            return None
        sessions = self._hub.resumption.leave()
        self.left += len(sessions)
        for start in range(0, len(sessions), AT_ONCE):
            self._bus.tell("session.inherit", _Estate(sessions[start : start + AT_ONCE], {}), heir)
        given = list(self.given.items())
        for start in range(0, len(given), AT_ONCE):
            self._bus.tell("session.inherit", _Estate([], dict(given[start : start + AT_ONCE])), heir)
        return heir

    def give(self, handle: str, node: str) -> None:
        """Remember who asked for what a handle stands for."""
        self.given[handle] = node
        self._later(lambda: self._forget(self.given, handle, node))

    def node_for(self, handle: str, node: str) -> str | None:
        """Return the other node that has what a handle of a node stands for; None: this one, or nobody."""
        return self._follow(self.given.get(handle) or node)

    def _follow(self, node: str) -> str | None:
        passed: set[str] = set()
        others = self._nodes.others
        while node not in others and node in self._heirs and node not in passed:
            passed.add(node)
            node = self._heirs[node]
        return node if node in others else None

    def _inherit(self, sender: str, body: _Estate, answer: Tell) -> None:
        for each in body.sessions:
            self.inherited += self._hub.resumption.inherit(each)
        for handle, node in body.given.items():
            if node != self._hub.node:
                self.give(handle, node)

    def _introduce(self, node: str) -> None:
        """Tell a new node of those that left before it came."""
        if self._heirs:
            self._bus.tell("session.heirs", self._heirs, node)

    def _told(self, sender: str, body: dict[str, str], answer: Tell) -> None:
        for node, heir in body.items():
            if node not in self._heirs:
                self._remember(node, heir)

    def _remember(self, node: str, heir: str) -> None:
        self._heirs[node] = heir
        self._later(lambda: self._forget(self._heirs, node, heir))

    def _forget(self, table: dict[str, str], name: str, node: str) -> None:
        if table.get(name) == node:
            del table[name]

    def _later(self, call: Callable[[], None]) -> None:
        self._hub.clock.call_later(self._hub.limits.resume_window_s, call)
