"""Several kinds of tokens: each is verified by the one who can, and by nobody else."""

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from chappe.auth.claims import refused
from chappe.auth.jwt import TOKEN_CHARACTERS, JwtAuthenticator, read_issuer
from chappe.auth.token_webhook import WebhookAuthenticator
from chappe.hub.contracts import Claims
from chappe.model.errors import ConfigurationError

#: A JSON Web Token has three parts.
_DOTS: Final = 2


class Issuers:
    """Fulfils the hub's `Authenticator` with those of several issuers, and a service for opaque tokens.

    Attributes:
        webhook: the service, or None.
    """

    def __init__(self, issuers: Sequence[JwtAuthenticator], webhook: WebhookAuthenticator | None = None) -> None:
        """Take the issuers. One may be without a name: what no other one's `iss` has is its.

        Raises:
            ConfigurationError: two of them have the same `iss`, or none.
        """
        self.webhook = webhook
        self._issuers = issuers
        self._unnamed: JwtAuthenticator | None = None
        self._by_name: dict[str, JwtAuthenticator] = {}
        for each in issuers:
            if not each.issuers and self._unnamed is not None:
                raise ConfigurationError("auth.issuer and issuers.<name>.issuer: only one may be empty")
            if not each.issuers:
                self._unnamed = each
            for name in each.issuers:
                if name in self._by_name:
                    raise ConfigurationError(f"the issuer {name!r} is there twice")
                self._by_name[name] = each

    def authenticate(self, token: str, wall_s: float) -> Claims | Awaitable[Claims]:
        """Verify a token at a wall-clock time, or return what has to be awaited.

        Raises:
            ChappeError: 101, 109; 108, who has to be asked cannot be.
        """
        if len(token) > TOKEN_CHARACTERS:
            raise refused("the token is too long")
        if self._issuers and (self.webhook is None or token.count(".") == _DOTS):
            return self._find(token).authenticate(token, wall_s)
        if self.webhook is None:
            raise refused("this hub takes no tokens")
        answer: Claims | Awaitable[Claims] = self.webhook.authenticate(token, wall_s)
        return answer

    def start(self) -> None:
        """Fetch what issuers publish, on the running loop."""
        for each in self._issuers:
            if each.key_set is not None:
                each.key_set.start()

    async def stop(self) -> None:
        """End what goes on."""
        for each in self._issuers:
            if each.key_set is not None:
                await each.key_set.stop()
        if self.webhook is not None:
            await self.webhook.stop()

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        total: dict[str, float] = {}
        parts: list[Any] = [each.key_set for each in self._issuers if each.key_set is not None]
        for part in [*parts, *([self.webhook] if self.webhook is not None else [])]:
            for name, value in part.metrics().items():
                total[name] = total.get(name, 0) + value
        return total

    def _find(self, token: str) -> JwtAuthenticator:
        """Return who verifies a token; what it says of itself chooses only whose keys must have signed it."""
        if len(self._issuers) == 1:
            return self._issuers[0]
        found = self._by_name.get(read_issuer(token) or "", self._unnamed)
        if found is None:
            raise refused("iss: another issuer's token")
        return found
