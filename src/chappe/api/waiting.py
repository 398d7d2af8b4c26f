"""Waiting for the hub, which answers by calling back, as long as the client does."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from chappe.api.heads import Receive, Scope
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.departure import departure_of

T = TypeVar("T")

#: How long a request waits for the hub: less than common proxies wait for us (30 to 60 s), more than a broker's pause.
ANSWER_TIMEOUT_S: Final = 10.0

Done: TypeAlias = Callable[[Any, ChappeError | None], None]


class Waiting(asyncio.Future[T | ChappeError]):
    """An answer that comes by a call, inside the call that asks for it or later.

    An error is a result here, so that one nobody waits for any more is no unseen exception.
    """

    def take(self, make: Callable[[Any], T]) -> Done:
        """Return the callback for the hub; `make` turns what it says into the answer. A late call does nothing."""

        def done(result: Any, error: ChappeError | None) -> None:
            if not self.done():
                self.set_result(make(result) if error is None else error)

        return done


async def settled(waiting: Waiting[T], timeout_s: float = ANSWER_TIMEOUT_S) -> T:
    """Wait for an answer.

    Raises:
        ChappeError: the hub's error, or 108 after the timeout; whether the command had an effect is not known then.
    """
    if not waiting.done():
        await asyncio.wait((waiting,), timeout=timeout_s)
    if not waiting.done():
        waiting.cancel()
        raise ChappeError(
            Code.NOT_AVAILABLE,
            f"no answer within {timeout_s:g} seconds, so it is not known what became of it; "
            "repeat a publish with the same id",
            detail={"timeout_s": timeout_s},
        )
    answer = waiting.result()
    if isinstance(answer, ChappeError):
        raise answer
    return answer


async def until_gone(
    waiting: "asyncio.Future[T]", leave: Callable[[], None], scope: Scope, receive: Receive
) -> T | None:
    """Return what is waited for, or None if the client goes before that; `leave` then ends the waiting."""
    departure = departure_of(scope)
    if departure is not None:
        departure.tell(leave)
        try:
            return await waiting
        finally:
            departure.forget(leave)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
    return waiting.result() if waiting.done() else None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
