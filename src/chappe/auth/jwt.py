"""Verify bearer tokens: JSON Web Tokens signed with keys from the configuration (RFC 7519, RFC 8725).

A token never chooses how it is checked. Each key serves only the algorithms of its own type, and of those only the
configured ones (RFC 8725, 3.1); `jku`, `x5u`, `jwk` and `kid` headers are not looked at, an extension named in `crit`
is refused, and there is no `none`.
"""

import binascii
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from chappe.hub.contracts import Claims
from chappe.model.channels import check_pattern
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, ConfigurationError

#: Bytes of a secret for each HMAC algorithm: as many as its hash has (RFC 7518, 3.2).
_HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVE_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_KNOWN_ALGORITHMS: Final = frozenset({*_HMAC_BYTES, *_RSA_ALGORITHMS, *_CURVE_ALGORITHMS.values(), "EdDSA"})
#: NIST SP 800-131A: smaller moduli are disallowed since 2014.
_RSA_BITS: Final = 2_048
#: As much as a request head may hold; a longer text is not worth a signature check.
_TOKEN_CHARACTERS: Final = 16_384
#: A subject names a channel (`$user/<id>`) and an entry of presence: 255 bytes as a channel name has.
_SUBJECT_BYTES: Final = 255
#: Headers remembered whose tokens were right: all tokens of one issuer and key have the same.
_HEADERS: Final = 64
_HEADER_CHARACTERS: Final = 512
_FROM_BASE64URL: Final = bytes.maketrans(b"-_", b"+/")
_TO_BASE64URL: Final = bytes.maketrans(b"+/", b"-_")
#: Later moments are no dates.
_YEAR_10000_S: Final = 253_402_300_800
# "+" and "#" would turn `$user/<id>` into a pattern over other people's channels, "/" into another channel.
_FORBIDDEN_IN_SUBJECT: Final = re.compile("[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class JwtOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens are accepted.

    Attributes:
        algorithms: those accepted, of HS256..512, RS256..512, PS256..512, ES256..512, EdDSA.
        audience: the `aud` a token must have.
        issuer: the `iss` a token must have; empty: any, its signature decides.
        hmac_secret: shared secret of the HS algorithms, or None.
        public_keys: public keys in PEM.
    """

    algorithms: Sequence[str] = ("EdDSA",)
    audience: str = "chappe"
    issuer: str = ""
    hmac_secret: bytes | None = None
    public_keys: Sequence[bytes] = ()


class JwtAuthenticator:
    """Fulfils the hub's `Authenticator` with keys that are given once, at the start."""

    def __init__(self, options: JwtOptions) -> None:
        """Take the keys and see that each can be used.

        Raises:
            ConfigurationError: an algorithm is unknown, a key is too short, of an unknown type, private, or serves
                none of the configured algorithms; or there is no audience.
        """
        unknown = [name for name in options.algorithms if name not in _KNOWN_ALGORITHMS]
        if unknown:
            known = ", ".join(sorted(_KNOWN_ALGORITHMS))
            raise ConfigurationError(f"auth.algorithms has {unknown[0]!r}, expected some of {known}")
        if not options.audience:
            raise ConfigurationError("auth.audience is empty, expected the aud that tokens for this hub have")
        self._audience = options.audience
        self._issuer = options.issuer
        # Keys as their algorithm wants them: taking a secret apart to see that it is no public key costs more than a
        # signature, and is done once.
        self._keys: dict[str, list[Any]] = {}
        self._algorithms: dict[str, Any] = {}
        self._headers: dict[bytes, str] = {}
        if options.hmac_secret is not None:
            self._add("auth.hmac_secret_file", options.hmac_secret, _hmac_algorithms(options))
        for number, pem in enumerate(options.public_keys, 1):
            name = f"auth.public_keys, key {number}"
            key, served = _read_public_key(name, pem)
            self._add(name, key, [algorithm for algorithm in served if algorithm in options.algorithms], served)

    @classmethod
    def from_files(
        cls,
        *,
        hmac_secret_file: str = "",
        public_key_files: Sequence[str] = (),
        algorithms: Sequence[str],
        audience: str,
        issuer: str = "",
    ) -> "JwtAuthenticator":
        """Read the keys from files; white space around the secret is not part of it.

        Raises:
            ConfigurationError: a file cannot be read, or as the constructor.
        """
        secret = _read("auth.hmac_secret_file", hmac_secret_file).strip() if hmac_secret_file else None
        return cls(
            JwtOptions(
                algorithms=algorithms,
                audience=audience,
                issuer=issuer,
                hmac_secret=secret,
                public_keys=[_read("auth.public_keys", path) for path in public_key_files],
            )
        )

    def authenticate(self, token: str, wall_s: float) -> Claims:
        """Verify a token at a wall-clock time (seconds since 1970), without leeway.

        Raises:
            ChappeError: 101 whose `detail` says the `problem`, never the token; 109, all is right but it has expired.
        """
        claims = self._verified(token)
        if self._audience not in _texts(claims, "aud"):
            raise _refused("aud: another audience's token" if "aud" in claims else "aud: is missing")
        if self._issuer and claims.get("iss") != self._issuer:
            raise _refused("iss: another issuer's token" if "iss" in claims else "iss: is missing")
        expires_at = _moment(claims, "exp")
        if expires_at is None:
            raise _refused("exp: is missing")
        not_before = _moment(claims, "nbf")
        if not_before is not None and wall_s < not_before:
            raise _refused("nbf: the token is not valid yet")
        verified = _claims(claims, expires_at)
        if wall_s >= expires_at:
            raise ChappeError(Code.TOKEN_EXPIRED)
        return verified

    def _add(self, name: str, key: Any, algorithms: Sequence[str], served: Sequence[str] = tuple(_HMAC_BYTES)) -> None:
        if not algorithms:
            raise ConfigurationError(f"{name} serves none of auth.algorithms; add {served[0]!r} there")
        for algorithm in algorithms:
            verifier = self._algorithms.setdefault(algorithm, jwt.get_algorithm_by_name(algorithm))
            try:
                prepared = verifier.prepare_key(key)
            except jwt.InvalidKeyError as error:
                raise ConfigurationError(f"{name} is no key for {algorithm}: {error}") from None
            self._keys.setdefault(algorithm, []).append(prepared)

    def _verified(self, token: str) -> dict[str, Any]:
        """Return the claims of a token whose signature one of our keys made.

        The same as PyJWT's `decode_complete` (a property test compares them) without its work that is the same for
        every token: preparing the keys, reading the header.
        """
        if len(token) > _TOKEN_CHARACTERS:
            raise _refused("the token is too long")
        try:
            signed, _, signature = token.encode().rpartition(b".")
            header, _, payload = signed.partition(b".")
            algorithm = self._headers.get(header) or self._read_header(token)
            made, claims = _from_base64url(signature), _from_base64url(payload)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _refused("malformed token") from None
        verifier = self._algorithms[algorithm]
        if not any(verifier.verify(signed, key, made) for key in self._keys[algorithm]):
            raise _refused("wrong signature")
        if header not in self._headers and len(header) <= _HEADER_CHARACTERS:
            if len(self._headers) >= _HEADERS:
                self._headers.clear()
            self._headers[header] = algorithm
        return _object(claims)

    def _read_header(self, token: str) -> str:
        """Return the algorithm of a token if it may be used."""
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._keys:
            raise _refused("alg: not accepted here")
        if "crit" in header or "b64" in header:
            # RFC 7515, 4.1.11: what is critical and not understood makes the token invalid; we understand no extension.
            raise _refused("crit: unknown extension")
        return algorithm


class _Rights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `chappe` claim. A member we do not know may be a restriction that is misspelt, so it is refused."""

    subscribe: list[str] | None = None
    publish: list[str] | None = None
    info: Any = None


#: One for all: an empty set of one's own costs 216 bytes.
_NO_SCOPES: Final[frozenset[str]] = frozenset()
_NO_RIGHTS: Final = _Rights()


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting} {path!r} cannot be read: {error.strerror}") from None


def _hmac_algorithms(options: JwtOptions) -> list[str]:
    secret = options.hmac_secret or b""
    algorithms = [name for name in _HMAC_BYTES if name in options.algorithms]
    needed = max([_HMAC_BYTES[name] for name in algorithms], default=min(_HMAC_BYTES.values()))
    if len(secret) < needed:
        raise ConfigurationError(
            f"auth.hmac_secret_file has {len(secret)} bytes, expected {needed} or more; "
            "make one with `chappe token create --new-secret`"
        )
    if b"-----BEGIN" in secret:
        # A public key taken for a secret lets everybody sign (CVE-2022-29217).
        raise ConfigurationError("auth.hmac_secret_file has a PEM key, expected a secret; see auth.public_keys")
    return algorithms


def _read_public_key(name: str, pem: bytes) -> tuple[Any, Sequence[str]]:
    """Return a key and the algorithms of its type, the preferred one first."""
    if b"PRIVATE KEY" in pem:
        raise ConfigurationError(f"{name} is a private key, expected a public one: the hub only verifies")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{name} is no PEM public key: {str(error).partition(chr(10))[0]}") from None
    match key:
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return key, ("EdDSA",)
        case rsa.RSAPublicKey():
            if key.key_size < _RSA_BITS:
                raise ConfigurationError(f"{name} has {key.key_size} bits, expected {_RSA_BITS} or more")
            return key, _RSA_ALGORITHMS
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVE_ALGORITHMS:
            return key, (_CURVE_ALGORITHMS[key.curve.name],)
    raise ConfigurationError(f"{name} is of a type that signs no tokens, expected Ed25519, RSA or P-256/384/521")


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


def _object(payload: bytes) -> dict[str, Any]:
    try:
        claims = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _refused("the claims are no JSON") from None
    if not isinstance(claims, dict):
        raise _refused("the claims are no object")
    return claims


def _claims(claims: dict[str, Any], expires_at: float) -> Claims:
    user = claims.get("sub")
    if user is not None:
        _check_subject(user)
    scopes = frozenset(_texts(claims, "scope", words=True)) if "scope" in claims else _NO_SCOPES
    if user is None and not scopes:
        raise _refused("sub: is missing")
    token_id = claims.get("jti")
    if token_id is not None and not isinstance(token_id, str):
        raise _refused("jti: expected a string")
    try:
        rights = msgspec.convert(claims["chappe"], _Rights) if "chappe" in claims else _NO_RIGHTS
    except msgspec.ValidationError as error:
        text = str(error).replace(" - at `$.", " - at `chappe.")
        raise _refused(f"chappe: {text[:1].lower()}{text[1:]}") from None
    return Claims(
        user=user,
        expires_at=expires_at,
        scopes=scopes,
        subscribe=_patterns("subscribe", rights.subscribe),
        publish=_patterns("publish", rights.publish),
        info=rights.info,
        token_id=token_id,
    )


def _check_subject(user: Any) -> None:
    if not isinstance(user, str):
        raise _refused("sub: expected a string")
    if not 1 <= len(user.encode("utf-8", "surrogatepass")) <= _SUBJECT_BYTES:
        raise _refused(f"sub: expected 1 to {_SUBJECT_BYTES} bytes")
    if _FORBIDDEN_IN_SUBJECT.search(user):
        raise _refused("sub: may not contain + # / or control characters")


def _patterns(right: str, patterns: list[str] | None) -> tuple[str, ...] | None:
    for index, pattern in enumerate(patterns or ()):
        try:
            check_pattern(pattern)
        except ChappeError as error:
            raise _refused(f"chappe.{right}[{index}]: {error.reason}") from None
    return None if patterns is None else tuple(patterns)


def _moment(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # Infinity and NaN would never be reached; the comparison is false for both.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _YEAR_10000_S:
        raise _refused(f"{name}: expected seconds since 1970")
    return float(value)


def _texts(claims: dict[str, Any], name: str, words: bool = False) -> list[str]:
    """Return a claim that is one text or an array of texts (RFC 7519, 4.1.3; RFC 8693, 4.2)."""
    value = claims.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return value.split() if words else [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise _refused(f"{name}: expected a string")


def _refused(problem: str) -> ChappeError:
    return ChappeError(Code.UNAUTHORIZED, detail={"problem": problem})
