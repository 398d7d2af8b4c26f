"""Verify bearer tokens: JSON Web Tokens signed with keys from the configuration (RFC 7519, RFC 8725).

`jku`, `x5u` and `jwk` headers are not looked at, `kid` only chooses among keys that are known here, an extension named
in `crit` is refused, and there is no `none`.
"""

import binascii
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import jwt
import msgspec
from msgspec.structs import replace

from chappe.auth.claims import moment_of, read_claims, read_object, refused, texts_of
from chappe.auth.jwks import KeySet
from chappe.auth.keys import (
    HMAC_BYTES,
    PUBLIC_ALGORITHMS,
    check_algorithms,
    prepare_pem,
    prepare_secret,
    read_file,
)
from chappe.hub.contracts import Claims
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, ConfigurationError

#: As much as a request head may hold; a longer text is not worth a signature check.
TOKEN_CHARACTERS: Final = 16_384
#: Headers remembered whose tokens were right: all tokens of one issuer and key have the same.
_HEADERS: Final = 64
_HEADER_CHARACTERS: Final = 512
_FROM_BASE64URL: Final = bytes.maketrans(b"-_", b"+/")
_TO_BASE64URL: Final = bytes.maketrans(b"+/", b"-_")


class JwtOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens are accepted.

    Attributes:
        algorithms: those accepted, of HS256..512, RS256..512, PS256..512, ES256..512, EdDSA.
        audience: the `aud` a token must have, or several of which it must have one.
        issuer: the `iss` a token must have, or several; empty: any, its signature decides.
        hmac_secret: shared secret of the HS algorithms, or None.
        public_keys: public keys in PEM.
        key_set: keys that the issuer publishes, or None.
        leeway_s: how far the issuer's clock may be from ours: `exp` counts so much later, `nbf` and `iat` so much
            earlier.
        scopes: those that its tokens may give, others are passed over; None: all.
    """

    algorithms: Sequence[str] = ("EdDSA",)
    audience: str | Sequence[str] = "chappe"
    issuer: str | Sequence[str] = ""
    hmac_secret: bytes | None = None
    public_keys: Sequence[bytes] = ()
    key_set: KeySet | None = None
    leeway_s: float = 0.0
    scopes: Sequence[str] | None = None


class JwtAuthenticator:
    """Fulfils the hub's `Authenticator` with keys that are given once, at the start, and those of a published set.

    Attributes:
        issuers: the `iss` of its tokens; none: any.
        key_set: the published set, or None.
    """

    def __init__(self, options: JwtOptions) -> None:
        """Take the keys and see that each can be used.

        Raises:
            ConfigurationError: an algorithm is unknown, a key is too short, of an unknown type, private, or serves
                none of the configured algorithms; or there is no audience.
        """
        check_algorithms(options.algorithms)
        self._audiences = _names(options.audience)
        if not self._audiences:
            raise ConfigurationError("auth.audience is empty, expected the aud that tokens for this hub have")
        self.issuers = _names(options.issuer)
        self.key_set = options.key_set
        self._leeway_s = options.leeway_s
        self._scopes = None if options.scopes is None else frozenset(options.scopes)
        # Keys as their algorithm wants them: taking a secret apart to see that it is no public key costs more than a
        # signature, and is done once.
        self._keys: dict[str, list[Any]] = {}
        self._headers: dict[bytes, tuple[str, str | None]] = {}
        if options.hmac_secret is not None:
            self._add(prepare_secret(options.hmac_secret, options.algorithms))
        for number, pem in enumerate(options.public_keys, 1):
            self._add(prepare_pem(f"auth.public_keys, key {number}", pem, options.algorithms))
        published = PUBLIC_ALGORITHMS & set(options.algorithms) if options.key_set is not None else frozenset()
        if options.key_set is not None and not published:
            raise ConfigurationError("auth.jwks_url serves none of auth.algorithms; add 'RS256' or 'ES256' there")
        self._algorithms = {name: jwt.get_algorithm_by_name(name) for name in {*self._keys, *published}}

    @classmethod
    def from_files(
        cls,
        *,
        hmac_secret_file: str = "",
        public_key_files: Sequence[str] = (),
        algorithms: Sequence[str],
        audience: str | Sequence[str],
        issuer: str | Sequence[str] = "",
        key_set: KeySet | None = None,
        leeway_s: float = 0.0,
        scopes: Sequence[str] | None = None,
    ) -> "JwtAuthenticator":
        """Read the keys from files; white space around the secret is not part of it.

        Raises:
            ConfigurationError: a file cannot be read, or as the constructor.
        """
        secret = read_file("auth.hmac_secret_file", hmac_secret_file).strip() if hmac_secret_file else None
        return cls(
            JwtOptions(
                algorithms=algorithms,
                audience=audience,
                issuer=issuer,
                hmac_secret=secret,
                public_keys=[read_file("auth.public_keys", path) for path in public_key_files],
                key_set=key_set,
                leeway_s=leeway_s,
                scopes=scopes,
            )
        )

    def authenticate(self, token: str, wall_s: float) -> Claims | Coroutine[Any, Any, Claims]:
        """Verify a token at a wall-clock time (seconds since 1970).

        Returns the claims, or what has to be awaited for them: the issuer is asked for its keys.

        Raises:
            ChappeError: 101 whose `detail` says the `problem`, never the token; 109, all is right but it has expired.
        """
        try:
            return self._check(token, wall_s)
        except _UnknownKey:
            key_set = self.key_set
            assert key_set is not None
            if not key_set.may_fetch:
                raise key_set.unknown() from None
            return self._ask(token, wall_s, key_set)

    def verify(self, token: str, wall_s: float) -> Claims:
        """Verify a token with the keys that are here.

        Raises:
            ChappeError: 101, 109.
        """
        try:
            return self._check(token, wall_s)
        except _UnknownKey:
            raise refused("kid: unknown key") from None

    async def _ask(self, token: str, wall_s: float, key_set: KeySet) -> Claims:
        await key_set.fetch()
        try:
            return self._check(token, wall_s)
        except _UnknownKey:
            raise key_set.unknown() from None

    def _add(self, prepared: Any) -> None:
        for algorithm, key in prepared.items():
            self._keys.setdefault(algorithm, []).append(key)

    def _check(self, token: str, wall_s: float) -> Claims:
        claims = self._verified(token)
        if self._audiences.isdisjoint(texts_of(claims, "aud")):
            raise refused("aud: another audience's token" if "aud" in claims else "aud: is missing")
        if self.issuers and not (isinstance(claims.get("iss"), str) and claims["iss"] in self.issuers):
            raise refused("iss: another issuer's token" if "iss" in claims else "iss: is missing")
        expires_at = moment_of(claims, "exp")
        if expires_at is None:
            raise refused("exp: is missing")
        expires_at += self._leeway_s
        not_before = moment_of(claims, "nbf")
        if not_before is not None and wall_s < not_before - self._leeway_s:
            raise refused("nbf: the token is not valid yet")
        issued_at = moment_of(claims, "iat")
        if issued_at is not None:
            # A later moment would outlive a revocation of its user.
            if issued_at > wall_s + self._leeway_s:
                raise refused("iat: the token was issued in the future")
            issued_at -= self._leeway_s
        verified = read_claims(claims, expires_at, issued_at)
        if wall_s >= expires_at:
            raise ChappeError(Code.TOKEN_EXPIRED)
        return verified if self._scopes is None or not verified.scopes else self._limited(verified)

    def _limited(self, verified: Claims) -> Claims:
        """Leave the scopes out that this issuer cannot give.

        Raises:
            ChappeError: 101, nothing is left that the token is for.
        """
        assert self._scopes is not None
        scopes = verified.scopes & self._scopes
        if verified.user is None and not scopes:
            raise refused("scope: none that this issuer may give")
        return replace(verified, scopes=scopes)

    def _verified(self, token: str) -> dict[str, Any]:
        """Return the claims of a token whose signature one of our keys made.

        The same as PyJWT's `decode_complete` (a property test compares them) without its work that is the same for
        every token: preparing the keys, reading the header.
        """
        if len(token) > TOKEN_CHARACTERS:
            raise refused("the token is too long")
        try:
            signed, _, signature = token.encode().rpartition(b".")
            header, _, payload = signed.partition(b".")
            algorithm, kid = self._headers.get(header) or self._read_header(token, header)
            made, claims = _from_base64url(signature), _from_base64url(payload)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise refused("malformed token") from None
        verifier = self._algorithms[algorithm]
        if not any(verifier.verify(signed, key, made) for key in self._keys.get(algorithm, ())):
            self._verify_published(algorithm, kid, signed, made)
        if header not in self._headers and len(header) <= _HEADER_CHARACTERS:
            if len(self._headers) >= _HEADERS:
                self._headers.clear()
            self._headers[header] = algorithm, kid
        return read_object(claims)

    def _verify_published(self, algorithm: str, kid: str | None, signed: bytes, made: bytes) -> None:
        """See that a key of the set made a signature.

        Raises:
            ChappeError: 101.
            _UnknownKey: the set that we know has no such key.
        """
        key_set = self.key_set
        if key_set is None or algorithm in HMAC_BYTES:
            raise refused("wrong signature")
        keys = key_set.find(algorithm, kid)
        if not keys:
            raise _UnknownKey
        if kid is None and len(keys) > 1:
            raise refused("kid: is missing")
        if not any(self._algorithms[algorithm].verify(signed, key, made) for key in keys):
            if kid is None and key_set.may_fetch:
                # An issuer that does not name its keys may have another one now.
                raise _UnknownKey
            raise refused("wrong signature")

    def _read_header(self, token: str, part: bytes) -> tuple[str, str | None]:
        """Return the algorithm of a token if it may be used, and which key it names."""
        header = jwt.get_unverified_header(token)
        read_object(_from_base64url(part))
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise refused("alg: not accepted here")
        if "crit" in header or "b64" in header:
            # RFC 7515, 4.1.11: what is critical and not understood makes the token invalid; we understand no extension.
            raise refused("crit: unknown extension")
        return algorithm, header.get("kid")


class _UnknownKey(Exception):
    """The key of a token is not in the set that we know."""


def read_issuer(token: str) -> str | None:
    """Return whose a token says it is, unverified, to find the keys that must have signed it; None: nobody's."""
    if len(token) > TOKEN_CHARACTERS or not token.isascii():
        return None
    try:
        claims = read_object(_from_base64url(token.encode().split(b".")[1]))
    except (ChappeError, ValueError, IndexError):
        return None
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else None


def _names(value: str | Sequence[str]) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value) - {""}


def _from_base64url(segment: bytes) -> bytes:
    """Return what base64url text stands for, in the one form that encoding it gives; padding is allowed to be there.

    Raises:
        ValueError: it is none.
    """
    text = segment.rstrip(b"=")
    padding = len(segment) - len(text)
    if padding and (padding > 2 or len(segment) % 4):
        raise ValueError("padding")
    decoded = binascii.a2b_base64(text.translate(_FROM_BASE64URL) + b"=" * (-len(text) % 4))
    if binascii.b2a_base64(decoded, newline=False).translate(_TO_BASE64URL).rstrip(b"=") != text:
        # Characters that are none, or bits that belong to no byte (GHSA-hxm8-2xgr-2p9m).
        raise ValueError("not in its one form")
    return decoded
