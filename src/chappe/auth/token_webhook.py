"""Tokens that only their issuer understands: a service of the application says whose each is."""

import asyncio
import hashlib
import logging
from typing import Any, Final

import msgspec

from chappe.auth.claims import check_subject, moment_of, read_patterns, refused
from chappe.auth.exchange import Service, Unreachable
from chappe.auth.jwt import TOKEN_CHARACTERS
from chappe.hub.contracts import Claims, Clock
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

_log = logging.getLogger("chappe.auth")

_ANSWER_BYTES: Final = 65_536
_TIMEOUT_S: Final = 5.0
#: Answers remembered; the oldest are forgotten.
_ANSWERS: Final = 10_000
#: Tokens that are being asked about; more are told to come back.
_PENDING: Final = 1_000
#: Seconds between two lines of the log that say that the service does not answer.
_WARN_PAUSE_S: Final = 10.0
#: Statuses by which the service says that a token is nobody's.
_DENIED: Final = frozenset({401, 403, 404})


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the service says of a token. A member we do not know may be a restriction that is misspelt."""

    user: str | None = None
    expires_at: float
    scopes: list[str] = []
    subscribe: list[str] | None = None
    publish: list[str] | None = None
    info: Any = None
    token_id: str | None = None


class _Known(msgspec.Struct, frozen=True):
    """An answer, good until a moment of the hub's monotonic clock; no claims: the token is nobody's."""

    claims: Claims | None
    until: float


class WebhookAuthenticator:
    """Fulfils the hub's `Authenticator` by asking: `POST {"token": ".."}`. Whoever cannot be asked about stays out.

    Attributes:
        asked, failures: requests made, and those without an answer that can be used.
    """

    def __init__(self, url: str, clock: Clock, *, cache_s: float = 10.0, timeout_s: float = _TIMEOUT_S) -> None:
        """Take the service's address and how long its answers count, in seconds."""
        self.asked = self.failures = 0
        self._service = Service(url, answer_bytes=_ANSWER_BYTES, timeout_s=timeout_s)
        self._clock = clock
        self._cache_s = cache_s
        self._warn_at = 0.0
        # By hash: nobody who reads our memory finds a token that is still good.
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Task[Claims | Unreachable | None]] = {}

    def authenticate(self, token: str, wall_s: float) -> Any:
        """Return the claims of a token that is known, or what has to be awaited for them.

        Raises:
            ChappeError: 101, 109; 108, too many are asked about. The awaitable raises the same, and 108 for a service
                that does not answer.
        """
        if len(token) > TOKEN_CHARACTERS:
            raise refused("the token is too long")
        name = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(name)
        if known is not None and self._clock.now() < known.until:
            return self._judge(known.claims)
        if name not in self._asking and len(self._asking) >= _PENDING:
            raise ChappeError(Code.NOT_AVAILABLE, "too many tokens are being asked about")
        return self._ask(name, token)

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {"chappe_webhook_asked_total": self.asked, "chappe_webhook_failures_total": self.failures}

    async def stop(self) -> None:
        """End what goes on."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._service.close()

    def _judge(self, claims: Claims | None) -> Claims:
        if claims is None:
            raise refused("the token is nobody's")
        if claims.expires_at is not None and self._clock.wall_ms() / 1_000 >= claims.expires_at:
            raise ChappeError(Code.TOKEN_EXPIRED)
        return claims

    async def _ask(self, name: bytes, token: str) -> Claims:
        """Wait for the service's answer; all who ask about one token meanwhile get the same."""
        task = self._asking.get(name)
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            task = self._asking[name] = asyncio.get_running_loop().create_task(self._fetch(name, token))
        found = await asyncio.shield(task)
        if isinstance(found, Unreachable):
            raise ChappeError(Code.NOT_AVAILABLE, "nobody can say whose token this is")
        return self._judge(found)

    async def _fetch(self, name: bytes, token: str) -> Claims | Unreachable | None:
        """Return what the service says; a failure is a result, since nobody may be waiting for it any more."""
        self.asked += 1
        # The service may have looked before somebody is revoked whom it tells of only after that.
        asked_at = self._clock.wall_ms() / 1_000
        try:
            status, body = await self._service.ask("POST", {"token": token})
            claims = None if status in _DENIED else read_answer(status, body, asked_at)
        except Unreachable as error:
            self.failures += 1
            self._warn(error)
            return error
        finally:
            del self._asking[name]
        if len(self._known) >= _ANSWERS:
            del self._known[next(iter(self._known))]
        self._known[name] = _Known(claims, self._clock.now() + self._cache_s)
        return claims

    def _warn(self, error: Unreachable) -> None:
        """Log that the service does not answer, now and then: whoever makes tokens up could fill a disk by them."""
        now = self._clock.now()
        if now >= self._warn_at:
            self._warn_at = now + _WARN_PAUSE_S
            _log.warning("%s cannot say whose tokens are (%d times now): %s", self._service.name, self.failures, error)


def read_answer(status: int, body: bytes, asked_at: float) -> Claims:
    """Return the claims of an answer: who is revoked later is asked about anew.

    Args:
        asked_at: seconds since 1970.
    Raises:
        Unreachable: it is none.
    """
    if status != 200:
        raise Unreachable(f"HTTP {status}")
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        expires_at = moment_of({"expires_at": answer.expires_at}, "expires_at")
        if answer.user is not None:
            check_subject(answer.user)
        elif not answer.scopes:
            raise Unreachable("an answer with neither user nor scopes")
        return Claims(
            user=answer.user,
            expires_at=expires_at,
            scopes=frozenset(answer.scopes),
            subscribe=read_patterns("subscribe", answer.subscribe),
            publish=read_patterns("publish", answer.publish),
            info=answer.info,
            token_id=answer.token_id,
            issued_at=asked_at,
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreachable(f"an answer of another shape: {error}") from None
    except ChappeError as error:
        raise Unreachable(error.reason) from None
