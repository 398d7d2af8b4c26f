"""What bridges to other systems tell about themselves: for `/readyz`, `/metrics`, the API and the console."""

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

BridgeState: TypeAlias = Literal["connected", "connecting", "standing-by", "stopped"]
"""`standing-by`: another node carries it; `connecting`: this node does, and has no connection at the moment."""


class BridgeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one bridge is on this node.

    Attributes:
        name: as in the configuration.
        kind: `mqtt` or `redis`.
        peer: the other system, without credentials.
        carrier: the node that carries it, as far as this one knows; empty: nobody.
        problem: why there is no connection; empty: there is one, or nothing went wrong yet.
        counts: totals since the start, and what waits now, by name.
    """

    name: str
    kind: str
    peer: str
    state: BridgeState
    carrier: str = ""
    problem: str = ""
    counts: Mapping[str, int] = {}


class Reporting(Protocol):
    """A bridge that tells how it is."""

    def status(self) -> BridgeStatus:
        """Return how it is now; never waits."""
