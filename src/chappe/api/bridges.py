"""`bridges`: how the ways to other systems are."""

from typing import Final

from chappe.api.commands import EITHER, Asked, Call, Command, Told
from chappe.hub.bridges import BridgeState
from chappe.hub.permissions import Action


class BridgesRequest(Asked, frozen=True, kw_only=True):
    """Ask how the bridges of this node are."""


class BridgeEntry(Told, frozen=True, kw_only=True):
    """A bridge on this node; `carrier` is the node that carries it, empty if none is known to."""

    name: str
    kind: str
    peer: str
    state: BridgeState
    carrier: str
    problem: str
    counts: dict[str, int]


class BridgesAnswer(Told, frozen=True, kw_only=True):
    """All bridges of this node."""

    bridges: list[BridgeEntry]


def bridges(call: Call, request: BridgesRequest) -> BridgesAnswer:
    """List bridges."""
    call.hub.permissions.authorize(call.actor, Action.INSPECT, "bridges")
    told = [each.status() for each in call.hub.bridges]
    return BridgesAnswer(
        bridges=[
            BridgeEntry(
                name=each.name,
                kind=each.kind,
                peer=each.peer,
                state=each.state,
                carrier=each.carrier,
                problem=each.problem,
                counts=dict(each.counts),
            )
            for each in told
        ]
    )


COMMANDS: Final = (
    Command("bridges", "List bridges to other systems.", BridgesRequest, BridgesAnswer, bridges, EITHER, True),
)
