"""A hub's session over HTTP requests: begun by a poll or a stream, spoken to by POST (spec/protocol.md, part PO).

`httpx` is imported at the first dial and not before, as `websockets` is.
"""

import asyncio
import functools
import itertools
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from chappe.client.errors import CUT, ConnectionLost
from chappe.client.options import Settings, http_base
from chappe.client.reconnection import may_reconnect
from chappe.client.refusal import over, refusal, unequipped, unreachable
from chappe.model.error_codes import ERRORS
from chappe.model.errors import LocalProtocolError

if TYPE_CHECKING:
    import ssl

    import httpx

#: Times a request is repeated within the session; a session that is not asked for lives for 30 s.
_REPEATS: Final = 3
#: Seconds between two tries, at most.
_REPEAT_MAX_MS: Final = 5_000.0
#: Statuses of a proxy that could not ask the hub, or of a hub that has no time now.
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
#: Seconds that the goodbye may take.
_CLOSE_TIMEOUT_S: Final = 2.0
#: Bytes of a refusal that are read.
_MAX_PROBLEM_BYTES: Final = 65_536


class Answer(msgspec.Struct, frozen=True):
    """What a poll answers; `messages` is an array, not read yet."""

    messages: msgspec.Raw
    session: str = ""
    cursor: str = ""

    @property
    def frame(self) -> str:
        """Return the messages as one frame of chappe.v1."""
        return bytes(self.messages).decode()


class Problem(msgspec.Struct, frozen=True):
    """What a refusal says (RFC 9457)."""

    code: int = 0
    title: str = ""
    detail: str = ""


class HttpSession:
    """Requests of one session: `begin` first, or `events` and `named`; `end` last.

    Attributes:
        shown: where it is, without secrets.
    """

    def __init__(self, settings: Settings) -> None:
        base, self._query = http_base(settings.url)
        self.shown = base
        self._settings = settings
        self._policy = settings.policy
        self._key = ""
        self._sequence = itertools.count()
        self._posting = asyncio.Lock()
        self._client = _client(settings, base)

    async def begin(self) -> Answer:
        """Begin a session.

        Raises:
            ConnectionLost: it did not begin; `final` says whether trying again is pointless.
        """
        import httpx

        try:
            status, body = await self._fetch("GET", "poll", self._own_query())
        except httpx.TransportError as failed:
            raise self._unreachable(failed) from failed
        answer = self._answer(status, body)
        if not answer.session:
            raise over(CUT, f"{self.shown}poll is no long polling: the answer names no session", final=False)
        self.named(answer.session)
        return answer

    def named(self, handle: str) -> None:
        """Learn how the hub names the session: what is asked from here on is asked for it."""
        self._key = handle

    async def poll(self, cursor: str, read_timeout_s: float) -> Answer | None:
        """Ask for what waits behind a cursor; None: there was nothing for as long as the hub holds a request.

        Raises:
            ConnectionLost: the session is over, or the hub cannot be reached any more.
        """
        query = {"session": self._key, "cursor": cursor}
        status, body = await self._repeat("GET", "poll", query, read_timeout_s=read_timeout_s)
        return None if status == 204 else self._answer(status, body)

    async def post(self, frame: str) -> None:
        """Send a frame; one POST at a time, repeated under the same number when its answer is lost.

        Raises:
            ConnectionLost: the session is over, or the hub cannot be reached any more.
        """
        async with self._posting:
            query = {"session": self._key, "seq": str(next(self._sequence)), "replies": "push"}
            status, body = await self._repeat("POST", "send", query, content=frame.encode())
            if status != 200:
                raise self._refused(status, body)

    @asynccontextmanager
    async def events(self, read_timeout_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Begin a session that is read as a stream of events; each piece may take `read_timeout_s`.

        One request begins it and reads it: a second one may reach another process of the hub.

        Raises:
            ConnectionLost: there is no stream.
        """
        import httpx

        timeout = httpx.Timeout(self._settings.open_timeout_s, read=read_timeout_s)
        headers = {"Accept": "text/event-stream"}
        query = {**self._own_query(), "session": ""}
        try:
            async with self._client.stream("GET", "events", params=query, timeout=timeout, headers=headers) as response:
                if response.status_code != 200:
                    body = await self._body(response, _MAX_PROBLEM_BYTES)
                    raise self._refused(response.status_code, body, response.headers)
                kind = response.headers.get("Content-Type", "")
                if not kind.startswith("text/event-stream"):
                    raise over(CUT, f"{self.shown}events answers {kind or 'nothing'}, no events", final=False)
                yield response.aiter_bytes()
        except httpx.TransportError as failed:
            raise self._unreachable(failed) from failed

    async def end(self, *, goodbye: bool) -> None:
        """Give everything back; with `goodbye` the hub is told that the session is over."""
        import httpx

        if goodbye and self._key:
            with suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await self._client.delete("poll", params={"session": self._key})
        await self._client.aclose()

    def _own_query(self) -> dict[str, str]:
        """Return what the URL of the user asks for, of the request that begins the session."""
        import httpx

        return dict(httpx.QueryParams(self._query))

    async def _repeat(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        content: bytes | None = None,
        read_timeout_s: float | None = None,
    ) -> tuple[int, bytes]:
        """Make a request that may be made again, until it is answered or was tried often enough."""
        import httpx

        for number in itertools.count(1):
            lost: ConnectionLost
            try:
                return await self._fetch(method, path, query, content=content, read_timeout_s=read_timeout_s)
            except httpx.TransportError as failed:
                lost = self._unreachable(failed)
            except ConnectionLost as refused:
                lost = refused
            if number > _REPEATS or lost.final or lost.retry_after_ms > _REPEAT_MAX_MS:
                raise lost
            own_ms = self._policy.delay_ms(number, random.random())  # noqa: S311 - jitter, no secret
            await asyncio.sleep(max(min(own_ms, _REPEAT_MAX_MS), lost.retry_after_ms) / 1000)
        raise AssertionError  # the loop has no end of its own

    async def _fetch(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        content: bytes | None = None,
        read_timeout_s: float | None = None,
    ) -> tuple[int, bytes]:
        """Make one request; raises for a status that may be another next time."""
        import httpx

        limit_s = self._settings.open_timeout_s
        timeout = httpx.Timeout(limit_s, read=read_timeout_s or limit_s)
        headers = {} if content is None else {"Content-Type": "application/json"}
        async with self._client.stream(
            method, path, params=query, content=content, timeout=timeout, headers=headers
        ) as response:
            body = await self._body(response, self._settings.max_message_bytes)
            if response.status_code in _PASSING:
                raise self._refused(response.status_code, body, response.headers)
            return response.status_code, body

    async def _body(self, response: "httpx.Response", max_bytes: int) -> bytes:
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > max_bytes:
                reason = f"{self.shown} answers more than {max_bytes} bytes, expected fewer"
                raise ConnectionLost(1009, reason, final=True)
        return bytes(body)

    def _answer(self, status: int, body: bytes) -> Answer:
        if status != 200:
            raise self._refused(status, body)
        try:
            answer = msgspec.json.decode(body, type=Answer)
            answer.frame  # noqa: B018 - is text?
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise over(CUT, f"{self.shown}poll is no long polling: {error}", final=False) from error
        return answer

    def _refused(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> ConnectionLost:
        try:
            problem = msgspec.json.decode(body, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = Problem()
        said = problem.detail or problem.title
        retry_after = (headers or {}).get("Retry-After", "")
        if status == 410:
            final = problem.code in ERRORS and not may_reconnect(problem.code)
            code = problem.code or CUT
            return ConnectionLost(code, said or "the hub ended the session", final=final)
        if status == 404 and self._key:
            # The hub forgot us, or is another one: a new session may resume this one.
            return ConnectionLost(CUT, said or "the hub does not know the session any more", code=problem.code)
        if status == 404 or not 400 <= status < 600:
            return over(CUT, f"{self.shown} has no events and no long polling: HTTP {status}", final=True)
        reason = f"{self.shown} answers HTTP {status}" + (f": {said}" if said else "")
        return refusal(status, reason, retry_after, problem.code)

    def _unreachable(self, failed: "httpx.TransportError") -> ConnectionLost:
        """Return the error for a request without an answer."""
        import httpx

        system = _system_error(failed)
        if system is not None and isinstance(failed, httpx.ConnectError):
            return unreachable(self.shown + self._settings.through, system)
        if isinstance(failed, httpx.UnsupportedProtocol | httpx.ProxyError):
            reason = f"cannot connect to {self.shown}{self._settings.through}: {failed}"
            return over(CUT, reason, final=str(failed).startswith("407"))
        what = "does not answer in time" if isinstance(failed, httpx.TimeoutException) else "cut the connection"
        return over(CUT, f"{self.shown} {what}", final=False)


def _system_error(error: BaseException) -> OSError | None:
    """Return the innermost error of the system: what is around it only says that something failed."""
    found: OSError | None = None
    cause: BaseException | None = error
    while cause is not None:
        found = cause if isinstance(cause, OSError) else found
        cause = cause.__cause__ or cause.__context__
    return found


class Ending:
    """The end of a connection over HTTP: what waits for the server is woken by it."""

    def __init__(self) -> None:
        self.error: ConnectionLost | None = None
        self._scopes: set[asyncio.Timeout] = set()

    def come(self, error: ConnectionLost) -> None:
        """End once."""
        if self.error is not None:
            return
        self.error = error
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(now)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Self]:
        """Run a block until the end comes; whatever the block raises about the connection is the end.

        Raises:
            ConnectionLost: the connection is over.
        """
        if self.error is not None:
            raise self.error
        try:
            async with asyncio.timeout(None) as scope:
                self._scopes.add(scope)
                try:
                    yield self
                finally:
                    self._scopes.discard(scope)
        except TimeoutError:
            if self.error is None:
                raise
            raise self.error from None
        except ConnectionLost as lost:
            self.come(lost)
            raise


def _client(settings: Settings, base: str) -> "httpx.AsyncClient":
    """Return a client with the settings of the WebSocket: headers, TLS, proxy.

    Raises:
        ConnectionLost: a package is missing that the proxy asks for.
        LocalProtocolError: the settings cannot be used.
    """
    import httpx

    headers = {"User-Agent": "chappe-python", "Accept-Encoding": "identity", **settings.headers}
    if settings.origin is not None:
        headers["Origin"] = settings.origin
    options: dict[str, Any] = {}
    if settings.proxy is not True:
        options = {"trust_env": False, "proxy": settings.proxy}
    try:
        return httpx.AsyncClient(
            base_url=base,
            headers=headers,
            verify=settings.ssl or _tls(needed=base.startswith("https:")),
            follow_redirects=False,
            **options,
        )
    except ImportError as missing:
        raise unequipped(base, missing) from missing
    except (ValueError, httpx.InvalidURL) as unusable:
        raise LocalProtocolError(f"cannot connect to {base}: {unusable}") from unusable


@functools.cache
def _tls(*, needed: bool) -> "ssl.SSLContext":
    """Return the authorities of the system, read once: it takes longer than a dial. Where TLS is not spoken: nobody."""
    import ssl

    return ssl.create_default_context() if needed else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
