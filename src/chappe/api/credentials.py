"""Who calls, and with which right."""

from collections.abc import Awaitable
from typing import Final, TypeVar

from chappe.api.context import ApiContext
from chappe.hub.auditing import AUDITED, about
from chappe.hub.contracts import Claims
from chappe.hub.permissions import Actor
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.credentials import identify
from chappe.transports.upgrade import Request

T = TypeVar("T")

#: What a backend with a key may do: everything.
_ALL: Final = frozenset({"api", "operator"})


class Caller:
    """A backend or an operator.

    Attributes:
        name: how logs call it.
        claims: what its credential says.
        is_backend: it is a program with a key, not somebody with a token.
    """

    __slots__ = ("_actors", "claims", "is_backend", "name")

    def __init__(self, claims: Claims, name: str, is_backend: bool = False) -> None:
        self.name = name
        self.claims = claims
        self.is_backend = is_backend
        self._actors: dict[frozenset[str], Actor] = {}

    def actor(self, scopes: frozenset[str]) -> Actor:
        """Return who asks the hub, with no more rights than a route needs.

        It is trusted, so that the namespace does not decide, but has only those scopes of the credential that the
        route accepts; with none of them `authorize` refuses everything.
        """
        actor = self._actors.get(scopes)
        if actor is None:
            claims = Claims(user=self.claims.user, scopes=self.claims.scopes & scopes)
            actor = self._actors[scopes] = Actor(claims, trusted=True)
        return actor


class Credentials:
    """Tells who a request is from."""

    def __init__(self, context: ApiContext) -> None:
        self._hub = context.hub
        self._keys = context.api_keys
        self._reader = context.reader
        # No subject of a token has a slash, so nobody else owns the idempotency keys of a backend.
        self._open = Caller(Claims(user="api/open", scopes=_ALL), "anybody", True) if context.api_open else None
        self._backends: dict[str, Caller] = {}

    async def identify(self, head: Request) -> Caller:
        """Return the caller that a request proves. An open API asks nobody, and reads no credential.

        Raises:
            ChappeError: 101, there is no credential or a wrong one; 108, nobody can say whose it is; 109, it has
                expired.
        """
        if self._open is not None:
            return self._open
        return await self._audited(head, self._verify(head))

    async def confirm(self, caller: Caller, head: Request) -> None:
        """See that who was identified before something else was awaited counts still.

        Raises:
            ChappeError: 101, it was revoked meanwhile; 109, it has expired.
        """
        if not caller.is_backend:
            await self._audited(head, identify(self._hub, caller.claims))

    async def _audited(self, head: Request, answer: Awaitable[T]) -> T:
        """Return an answer; a refusal is noted first."""
        try:
            return await answer
        except ChappeError as error:
            if self._hub.audit is not None and error.code in AUDITED:
                told = {"code": int(error.code), "address": head.address, "path": head.path[:255], **about(error)}
                self._hub.audit("refused", told)
            raise

    async def _verify(self, head: Request) -> Caller:
        credential = self._reader.read(head)
        holder = self._reader.holder(head) if credential is None else None
        if holder is not None:
            return Caller(await identify(self._hub, holder), f"certificate of {holder.user}")
        if credential is None:
            self._hub.counters.unauthorized += 1
            raise ChappeError(Code.UNAUTHORIZED, detail={"problem": "expected Authorization: Bearer KEY"})
        if self._keys is not None:
            name = self._keys.find(credential)
            if name is not None:
                return self._backend(name)
        claims = await identify(self._hub, credential)
        return Caller(claims, f"token of {claims.user}" if claims.user else "token")

    def _backend(self, name: str) -> Caller:
        caller = self._backends.get(name)
        if caller is None:
            caller = self._backends[name] = Caller(Claims(user=f"api/{name}", scopes=_ALL), f"key {name}", True)
        return caller
