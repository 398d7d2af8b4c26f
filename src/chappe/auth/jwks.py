"""Keys that an issuer publishes as a JSON Web Key Set (RFC 7517): fetched from the one address of the configuration.

Nothing in a token decides where keys come from. A set belongs to one issuer, so that a `kid` of another one is never
found in it.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chappe.auth.claims import refused
from chappe.auth.exchange import Service, Unreachable
from chappe.auth.keys import Key, UnusableKey, prepare_jwk
from chappe.hub.contracts import Clock
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

_log = logging.getLogger("chappe.auth")

#: Seconds between two fetches, however many unknown keys are asked for.
_FETCH_PAUSE_S: Final = 60.0
#: Seconds before a first fetch that failed is tried again: until there is a set nobody gets in.
_RETRY_S: Final = 5.0
_ANSWER_BYTES: Final = 262_144
_TIMEOUT_S: Final = 5.0
#: Keys of a set; issuers have two or three.
_KEYS: Final = 64


class NoKeySet(Exception):
    """Text that is no set of keys; says what it is instead."""


class KeySet:
    """The keys of one issuer. The last good set counts until there is a newer one.

    Attributes:
        fetches, failures, skipped: sets asked for, those that did not come, and keys in them that cannot be used here.
    """

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        clock: Clock,
        *,
        refresh_s: float = 3_600.0,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Take the address, the algorithms that keys may serve, and how long a set counts as fresh, in seconds."""
        self.fetches = self.failures = self.skipped = 0
        self._service = Service(url, answer_bytes=_ANSWER_BYTES, timeout_s=timeout_s)
        self._algorithms = algorithms
        self._clock = clock
        self._refresh_s = refresh_s
        self._keys: Sequence[Key] | None = None
        self._may_fetch_at = self._refresh_at = 0.0
        self._fetching: asyncio.Task[None] | None = None

    @property
    def may_fetch(self) -> bool:
        """Whether the issuer may be asked, or is being asked, for its keys."""
        return self._fetching is not None or self._clock.now() >= self._may_fetch_at

    def start(self) -> None:
        """Begin to fetch, so that the first token need not wait."""
        self._begin()

    async def stop(self) -> None:
        """End what goes on."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
            self._fetching = None
        await self._service.close()

    def find(self, algorithm: str, kid: str | None) -> list[Any]:
        """Return the keys for an algorithm with a name, or all of them without one, as the algorithm wants them.

        A set that is not fresh any more is used, and fetched beside.
        """
        if self._keys is not None and self._clock.now() >= self._refresh_at and self.may_fetch:
            self._begin()
        keys = self._keys or ()
        return [key.prepared[algorithm] for key in keys if algorithm in key.prepared and kid in (None, key.kid)]

    def unknown(self) -> ChappeError:
        """Return why a key cannot be found: 101, the issuer has none such; 108, the issuer was never reached."""
        if self._keys is None:
            return ChappeError(Code.NOT_AVAILABLE, "the keys of the issuer cannot be had")
        return refused("kid: unknown key")

    async def fetch(self) -> None:
        """Fetch the set unless that was done just now; all who ask meanwhile wait for the same answer."""
        if self.may_fetch:
            await asyncio.shield(self._begin())

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {
            "chappe_jwks_keys": len(self._keys or ()),
            "chappe_jwks_fetches_total": self.fetches,
            "chappe_jwks_failures_total": self.failures,
            "chappe_jwks_skipped_keys_total": self.skipped,
        }

    def _begin(self) -> "asyncio.Task[None]":
        loop = asyncio.get_running_loop()
        if self._fetching is None or self._fetching.get_loop() is not loop:
            self._fetching = loop.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        self.fetches += 1
        try:
            status, body = await self._service.ask("GET")
            if status != 200:
                raise Unreachable(f"HTTP {status}")
            keys, skipped = read_key_set(body, self._algorithms)
        except (Unreachable, NoKeySet) as error:
            self.failures += 1
            known = f"the {len(self._keys)} known ones stay in force" if self._keys is not None else "there are none"
            _log.warning("keys from %s could not be fetched: %s; %s", self._service.name, error, known)
        else:
            self._keys = keys
            self.skipped += len(skipped)
            self._refresh_at = self._clock.now() + self._refresh_s
            for why in skipped:
                _log.info("a key from %s is not used: it %s", self._service.name, why)
        finally:
            pause_s = _RETRY_S if self._keys is None else _FETCH_PAUSE_S
            self._may_fetch_at = self._clock.now() + pause_s
            self._fetching = None


def read_key_set(text: bytes, algorithms: Sequence[str]) -> tuple[list[Key], list[str]]:
    """Return the keys of a set that can be used here, and why others cannot.

    Raises:
        NoKeySet: it is no set of keys, or none of them can be used.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise NoKeySet("no JSON") from None
    listed = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise NoKeySet("no JSON Web Key Set")
    keys: list[Key] = []
    skipped: list[str] = []
    for jwk in listed[:_KEYS]:
        try:
            keys.append(prepare_jwk(jwk, algorithms))
        except UnusableKey as error:
            skipped.append(str(error))
    skipped += [f"is beyond the first {_KEYS}"] * len(listed[_KEYS:])
    if not keys:
        raise NoKeySet(f"a set of {len(listed)} keys of which none can be used here")
    return keys, skipped
