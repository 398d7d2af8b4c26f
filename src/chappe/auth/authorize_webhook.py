"""Ask a service of the application who may do what, where a namespace says `hook` (`auth.authorize_url`)."""

import asyncio
import logging
import time
from typing import Final, NamedTuple

import msgspec

from chappe.auth.exchange import Service, Unreachable
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

#: An answer is a word; what is longer is none.
_ANSWER_BYTES: Final = 4_096
#: Answers that are remembered; above, all are forgotten.
_REMEMBERED: Final = 10_000
_log = logging.getLogger("chappe.auth")


class Question(NamedTuple):
    """What is asked; equal questions have one answer. A session counts only where there is no user."""

    action: str
    channel: str
    user: str | None
    session: str | None


class _Answer(msgspec.Struct):
    allow: bool


class AuthorizeWebhook:
    """Posts questions and believes `{"allow": true}` with status 200; everything else is no.

    Attributes:
        asked, failures: questions posted, and those that brought no answer.
    """

    def __init__(self, url: str, timeout_s: float, cache_s: float) -> None:
        """Take where to ask, how long to wait, and how long an answer holds."""
        self._service = Service(url, answer_bytes=_ANSWER_BYTES, timeout_s=timeout_s)
        self._cache_s = cache_s
        self._answers: dict[Question, tuple[float, bool]] = {}
        self._flights: dict[Question, asyncio.Task[bool]] = {}
        self.asked = 0
        self.failures = 0

    async def stop(self) -> None:
        """End; who still waits is refused."""
        flights = tuple(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self._service.close()

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {"chappe_authorize_asked_total": self.asked, "chappe_authorize_failures_total": self.failures}

    async def check(self, question: Question) -> None:
        """Let pass, or refuse.

        Raises:
            ChappeError: 103, the service says no; 108, it says nothing that is understood.
        """
        until, allowed = self._answers.get(question, (0.0, False))
        if until <= time.monotonic():
            loop = asyncio.get_running_loop()
            flight = self._flights.get(question)
            if flight is None or flight.get_loop() is not loop:
                flight = loop.create_task(self._ask(question))
                self._flights[question] = flight
                flight.add_done_callback(lambda _: self._flights.pop(question, None))
            # One who leaves does not take the answer from the others.
            allowed = await asyncio.shield(flight)
        if not allowed:
            detail = {"action": question.action, "channel": question.channel[:255]}
            raise ChappeError(Code.PERMISSION_DENIED, detail=detail)

    async def _ask(self, question: Question) -> bool:
        """Post one question.

        Raises:
            ChappeError: 108.
        """
        self.asked += 1
        try:
            allowed = _read_answer(*await self._service.ask("POST", question._asdict()))
        except Unreachable as error:
            self.failures += 1
            _log.warning("auth.authorize_url gave no answer: %s", error)
            raise ChappeError(Code.NOT_AVAILABLE, detail={"feature": "auth.authorize_url"}) from None
        if len(self._answers) >= _REMEMBERED:
            self._answers.clear()
        if self._cache_s:
            self._answers[question] = (time.monotonic() + self._cache_s, allowed)
        return allowed


def _read_answer(status: int, body: bytes) -> bool:
    """Return what the service says.

    Raises:
        Unreachable: nothing.
    """
    if status == 403:
        return False
    if status != 200:
        raise Unreachable(f"HTTP {status}, expected 200 or 403")
    try:
        return msgspec.json.decode(body, type=_Answer).allow
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreachable(f"an answer of another shape: {error}") from None
