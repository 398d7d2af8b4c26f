"""Revoked tokens are refused on all nodes: each tells the others what it refuses, and who comes what there is."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from chappe.hub.cluster.bus import Bus, Tell
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.revocation import Entry

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore


class _Revoked(TypedDict):
    user: str | None
    session: str | None
    token: str | None
    until: float


class SharedRevocations:
    """This node's part in refusing tokens everywhere."""

    def __init__(self, hub: "HubCore", bus: Bus, nodes: Nodes) -> None:
        self._hub = hub
        self._bus = bus
        self._nodes = nodes
        bus.on("token.revoke", self._revoke, _Revoked)
        bus.on("token.refused", self._refused, list[Entry])
        bus.on("token.list", self._list)
        nodes.on_join.append(self._tell)
        nodes.on_return.append(self.ask)

    def revoke(
        self, user: str | None, session: str | None, token: str | None, until: float, done: Callable[[int], None]
    ) -> None:
        """Revoke on the other nodes; `done` gets how many sessions ended there."""
        what = _Revoked(user=user, session=session, token=token, until=until)
        self._bus.ask("token.revoke", what, self._nodes.others, lambda answers: done(sum(answers.values())), of=int)

    def tell(self, entries: Sequence[Entry]) -> None:
        """Tell all other nodes what is refused."""
        if entries:
            self._bus.tell("token.refused", entries)

    def ask(self) -> None:
        """Ask the others what is refused: we may have missed it."""
        self._bus.ask("token.list", None, self._nodes.others, self._listed, of=list[Entry])

    def _revoke(self, sender: str, body: _Revoked, answer: Tell) -> None:
        answer(self._hub.revoke_here(body["user"], body["session"], body["token"], body["until"]))

    def _refused(self, sender: str, body: list[Entry], answer: Tell) -> None:
        self._hub.revocations.add(body, self._wall_s())

    def _list(self, sender: str, body: Any, answer: Tell) -> None:
        answer(self._hub.revocations.entries(self._wall_s()))

    def _listed(self, answers: dict[str, list[Entry]]) -> None:
        for entries in answers.values():
            self._hub.revocations.add(entries, self._wall_s())

    def _tell(self, node: str) -> None:
        entries = self._hub.revocations.entries(self._wall_s())
        if entries:
            self._bus.tell("token.refused", entries, node)

    def _wall_s(self) -> float:
        return self._hub.clock.wall_ms() / 1_000
