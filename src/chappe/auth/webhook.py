"""Ask a service of the application who may do what, where a namespace says `hook` (`auth.authorize_url`)."""

import asyncio
import logging
import time
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, ConfigurationError

#: An answer is a word; what is longer is none.
_ANSWER_BYTES: Final = 4_096
#: Questions on their way at once; more wait. A service that is slow must not cost a descriptor for each client.
_AT_ONCE: Final = 32
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


class Webhook:
    """Posts questions and believes `{"allow": true}` with status 200; everything else is no.

    Attributes:
        asked, failures: questions posted, and those that brought no answer.
    """

    def __init__(self, url: str, timeout_s: float, cache_s: float) -> None:
        """Take where to ask, how long to wait, and how long an answer holds.

        Raises:
            ConfigurationError: the URL is none of HTTP.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            parsed = httpx.URL()
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigurationError("auth.authorize_url: expected an http:// or https:// URL")
        self._url = parsed
        self._timeout_s = timeout_s
        self._cache_s = cache_s
        self._client: httpx.AsyncClient | None = None
        self._answers: dict[Question, tuple[float, bool]] = {}
        self._flights: dict[Question, asyncio.Task[bool]] = {}
        self.asked = 0
        self.failures = 0

    def start(self) -> None:
        """Begin on the running loop."""
        limits = httpx.Limits(max_connections=_AT_ONCE)
        # Neither redirects nor proxies of the environment: what is asked goes where the configuration says.
        self._client = httpx.AsyncClient(limits=limits, timeout=self._timeout_s, trust_env=False)

    async def stop(self) -> None:
        """End; who still waits is refused."""
        client, self._client = self._client, None
        for flight in tuple(self._flights.values()):
            flight.cancel()
        if client is not None:
            await client.aclose()

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
            flight = self._flights.get(question)
            if flight is None:
                flight = asyncio.get_running_loop().create_task(self._ask(question))
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
            async with asyncio.timeout(self._timeout_s):
                allowed = await self._post(question)
        except (httpx.HTTPError, TimeoutError, msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            self.failures += 1
            _log.warning("auth.authorize_url gave no answer: %s", str(error) or type(error).__name__)
            raise ChappeError(Code.NOT_AVAILABLE, detail={"feature": "auth.authorize_url"}) from None
        if len(self._answers) >= _REMEMBERED:
            self._answers.clear()
        if self._cache_s:
            self._answers[question] = (time.monotonic() + self._cache_s, allowed)
        return allowed

    async def _post(self, question: Question) -> bool:
        if self._client is None:
            raise httpx.TransportError("the hub stops")
        body: dict[str, Any] = question._asdict()
        async with self._client.stream("POST", self._url, json=body, follow_redirects=False) as response:
            if response.status_code == httpx.codes.FORBIDDEN:
                return False
            if response.status_code != httpx.codes.OK:
                raise httpx.TransportError(f"status {response.status_code}, expected 200 or 403")
            text = b""
            async for piece in response.aiter_bytes():
                text += piece
                if len(text) > _ANSWER_BYTES:
                    raise httpx.TransportError(f"an answer of more than {_ANSWER_BYTES} bytes")
        return msgspec.json.decode(text, type=_Answer).allow
