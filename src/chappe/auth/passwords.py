"""Passwords of users: kept as scrypt hashes, verified off the event loop, guessed slowly.

A hash is `scrypt$N$r$p$salt$hash`, salt and hash in hex.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from chappe.hub.contracts import Clock
from chappe.hub.seats import address_group
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, ConfigurationError

#: OWASP's password storage cheat sheet; 16 MB and about 0.2 s a try.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 16_384, 8, 5
#: Parameters that are accepted, at most: what one try may take is 128 MB and a few seconds.
_MAX_N, _MAX_R, _MAX_P = 131_072, 8, 16
_HASH: Final = re.compile(r"scrypt\$([0-9]{1,7})\$([0-9]{1,2})\$([0-9]{1,2})\$([0-9a-f]{16,128})\$([0-9a-f]{64})")
#: Tries that run at once: each has its memory.
_AT_ONCE: Final = 2
#: Failed tries for one user or from one address, and the seconds after which one more is allowed.
_TRIES: Final = 5
_TRY_S: Final = 12.0
#: Users and addresses whose failures are remembered.
_REMEMBERED: Final = 10_000
#: Longer passwords are nobody's.
_PASSWORD_BYTES: Final = 1_024


class PasswordHash(msgspec.Struct, frozen=True):
    """A hash with the parameters that it was made with."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> "PasswordHash":
        """Read what `hash_password` returned.

        Raises:
            ConfigurationError: it is none; the text does not say what it is.
        """
        match = _HASH.fullmatch(text)
        if match is None:
            raise ConfigurationError("password_hash is no hash of a password, make one with `chappe token password`")
        n, r, p = int(match[1]), int(match[2]), int(match[3])
        if not (2 <= n <= _MAX_N and n & (n - 1) == 0 and 1 <= r <= _MAX_R and 1 <= p <= _MAX_P):
            raise ConfigurationError("password_hash has parameters out of range, make one with `chappe token password`")
        return cls(n, r, p, bytes.fromhex(match[4]), bytes.fromhex(match[5]))

    def matches(self, password: str) -> bool:
        """Tell whether a password is this one; takes a while, and as long whichever it is."""
        memory = 256 * self.r * (self.n + self.p) + 1_048_576
        made = hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),
            salt=self.salt,
            n=self.n,
            r=self.r,
            p=self.p,
            maxmem=memory,
            dklen=len(self.digest),
        )
        return hmac.compare_digest(made, self.digest)


def hash_password(password: str) -> str:
    """Return `scrypt$N$r$p$salt$hash` (salt and hash in hex) for `users.<name>.password_hash`."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, dklen=32)
    return f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${salt.hex()}${digest.hex()}"


class Passwords:
    """Verifies the passwords of the configured users.

    Attributes:
        refused: tries that were refused without looking at the password.
    """

    def __init__(self, hashes: Mapping[str, str], clock: Clock) -> None:
        """Take the hashes by user.

        Raises:
            ConfigurationError: one is none; the text names the user.
        """
        self.refused = 0
        self._clock = clock
        self._hashes: dict[str, PasswordHash] = {}
        for user, text in hashes.items():
            try:
                self._hashes[user] = PasswordHash.parse(text)
            except ConfigurationError as error:
                raise ConfigurationError(f"users.{user}.{error.reason}") from None
        # Nobody's: a user that does not exist takes as long as one that does.
        self._decoy = PasswordHash(SCRYPT_N, SCRYPT_R, SCRYPT_P, secrets.token_bytes(16), secrets.token_bytes(32))
        self._gate: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # When the failures of each are forgotten, monotonic seconds: each failure is `_TRY_S` of it.
        self._failures: dict[str, float] = {}

    def knows(self, user: str) -> bool:
        """Tell whether a user has a password."""
        return user in self._hashes

    async def verify(self, user: str, password: str, address: str) -> bool:
        """Tell whether a password is a user's.

        Raises:
            ChappeError: 111, too many failures for this user or from this address, of IPv6 its /64; `detail` has
                `retry_after_s`.
        """
        sources = (f"user:{user}", f"address:{address_group(address)}")
        for source in sources:
            # Before the first await, and taken back if the password is right: many at once do not pass together.
            self._check(source)
        for source in sources:
            self._count(source, _TRY_S)
        async with self._semaphore():
            known = self._hashes.get(user, self._decoy)
            fits = len(password.encode("utf-8", "surrogatepass")) <= _PASSWORD_BYTES
            matches = await asyncio.to_thread(known.matches, password if fits else "")
        if not (matches and fits and user in self._hashes):
            return False
        for source in sources:
            self._count(source, -_TRY_S)
        return True

    def _semaphore(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if self._gate is None or self._loop is not loop:
            self._gate, self._loop = asyncio.Semaphore(_AT_ONCE), loop
        return self._gate

    def _check(self, source: str) -> None:
        over_s = self._failures.get(source, 0.0) - self._clock.now() - (_TRIES - 1) * _TRY_S
        if over_s > 0:
            self.refused += 1
            raise ChappeError(Code.TOO_MANY_REQUESTS, detail={"retry_after_s": round(over_s, 3)})

    def _count(self, source: str, change_s: float) -> None:
        now = self._clock.now()
        until = max(self._failures.pop(source, 0.0), now) + change_s
        if until <= now:
            return
        if len(self._failures) >= _REMEMBERED:
            del self._failures[next(iter(self._failures))]
        self._failures[source] = until
