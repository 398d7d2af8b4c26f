"""Sessions whose client may come back to what it left: what their protocol decides beside the hub."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from chappe.hub.contracts import Claims
from chappe.model.errors import ChappeError

if TYPE_CHECKING:
    from chappe.hub.session import Session


class Resident:
    """A protocol whose client has an id of its own, and something that outlives its connection."""

    __slots__ = ()

    def arrive(self, session: "Session", claims: Claims, name: str, done: Callable[[ChappeError | None], None]) -> None:
        """Decide whether a client may take its place, once it is known who it is and before it claims its name.

        `done` is called once, inside this call or later, with the refusal or None.
        """
        raise NotImplementedError

    @property
    def key_owner(self) -> str:
        """Whose idempotency keys its client uses."""
        raise NotImplementedError

    def leave(self, session: "Session", code: int) -> None:
        """Learn that the session ends, while its subscriptions are still there."""
        raise NotImplementedError
