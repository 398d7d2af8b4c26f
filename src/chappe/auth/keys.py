"""Keys that verify tokens: shared secrets, PEM files and JSON Web Keys, each for the algorithms of its own type.

A token never chooses how it is checked (RFC 8725, 3.1): a key serves those of the configured algorithms that its type
has, and no other; a public key is never a secret.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from chappe.model.errors import ConfigurationError

#: Bytes of a secret for each HMAC algorithm: as many as its hash has (RFC 7518, 3.2).
HMAC_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVE_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
#: Algorithms of public keys.
PUBLIC_ALGORITHMS: Final = frozenset({*_RSA_ALGORITHMS, *_CURVE_ALGORITHMS.values(), "EdDSA"})
KNOWN_ALGORITHMS: Final = frozenset({*HMAC_BYTES, *PUBLIC_ALGORITHMS})
#: NIST SP 800-131A: smaller moduli are disallowed since 2014. Larger ones only cost time.
_RSA_BITS: Final = (2_048, 8_192)
#: Characters of a member of a JSON Web Key: the modulus of the largest key in base64.
_MEMBER_CHARACTERS: Final = 1_400
_KID_CHARACTERS: Final = 512


class UnusableKey(Exception):
    """A key of a set that cannot verify what is accepted here; the text says why."""


class Key(msgspec.Struct, frozen=True):
    """A key of a set.

    Attributes:
        kid: its name, or None.
        prepared: the key as each algorithm that it serves wants it.
    """

    kid: str | None
    prepared: Mapping[str, Any]


def check_algorithms(algorithms: Sequence[str]) -> None:
    """See that all algorithms are known.

    Raises:
        ConfigurationError: one is not; there is no `none`.
    """
    unknown = [name for name in algorithms if name not in KNOWN_ALGORITHMS]
    if unknown:
        known = ", ".join(sorted(KNOWN_ALGORITHMS))
        raise ConfigurationError(f"auth.algorithms has {unknown[0]!r}, expected some of {known}")


def prepare_secret(secret: bytes, algorithms: Sequence[str]) -> Mapping[str, Any]:
    """Return a secret as its algorithms want it.

    Raises:
        ConfigurationError: it is too short, is a key in PEM, or none of its algorithms is configured.
    """
    served = [name for name in HMAC_BYTES if name in algorithms]
    needed = max([HMAC_BYTES[name] for name in served], default=min(HMAC_BYTES.values()))
    if len(secret) < needed:
        raise ConfigurationError(
            f"auth.hmac_secret_file has {len(secret)} bytes, expected {needed} or more; "
            "make one with `chappe token create --new-secret`"
        )
    if b"-----BEGIN" in secret:
        # A public key taken for a secret lets everybody sign (CVE-2022-29217).
        raise ConfigurationError("auth.hmac_secret_file has a PEM key, expected a secret; see auth.public_keys")
    return _prepare("auth.hmac_secret_file", secret, served, tuple(HMAC_BYTES))


def prepare_pem(name: str, pem: bytes, algorithms: Sequence[str]) -> Mapping[str, Any]:
    """Return a public key as its algorithms want it.

    Raises:
        ConfigurationError: it is none, is private, too short or of an unknown type, or serves none of the algorithms.
    """
    if b"PRIVATE KEY" in pem:
        raise ConfigurationError(f"{name} is a private key, expected a public one: the hub only verifies")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{name} is no PEM public key: {str(error).partition(chr(10))[0]}") from None
    try:
        served = _served(key)
    except UnusableKey as error:
        raise ConfigurationError(f"{name} {error}") from None
    return _prepare(name, key, [algorithm for algorithm in served if algorithm in algorithms], served)


def prepare_jwk(jwk: object, algorithms: Sequence[str]) -> Key:
    """Return a JSON Web Key (RFC 7517) as its algorithms want it; symmetric keys have no place in a published set.

    Raises:
        UnusableKey: it is no public key for signatures, or serves none of the algorithms.
    """
    if not isinstance(jwk, dict) or not all(isinstance(jwk.get(name, ""), str) for name in _TEXT_MEMBERS):
        raise UnusableKey("is no JSON Web Key")
    if any(len(jwk.get(name, "")) > _MEMBER_CHARACTERS for name in _TEXT_MEMBERS):
        raise UnusableKey("is too large")
    kind, kid = jwk.get("kty"), jwk.get("kid")
    if kind not in _READERS or "d" in jwk:
        raise UnusableKey("is no public key")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKey("is not for signatures")
    if kid is not None and len(kid) > _KID_CHARACTERS:
        raise UnusableKey("has too long a kid")
    try:
        key = jwt.get_algorithm_by_name(_READERS[kind]).from_jwk(jwk)
    except Exception as error:
        # What a parser of keys makes of a stranger's numbers is its own affair.
        raise UnusableKey(f"cannot be read: {type(error).__name__}") from None
    served = [name for name in _served(key) if name in algorithms and name == jwk.get("alg", name)]
    if not served:
        raise UnusableKey("serves none of the algorithms")
    try:
        return Key(kid, {name: jwt.get_algorithm_by_name(name).prepare_key(key) for name in served})
    except jwt.InvalidKeyError as error:
        raise UnusableKey(str(error)) from None


#: Members that are texts; what other members hold is not looked at.
_TEXT_MEMBERS: Final = ("kty", "kid", "use", "alg", "crv", "n", "e", "x", "y")
#: An algorithm of each type of key: its class reads them.
_READERS: Final = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


def read_file(setting: str, path: str) -> bytes:
    """Return the content of a file that a setting names.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting} {path!r} cannot be read: {error.strerror}") from None


def _served(key: Any) -> Sequence[str]:
    """Return the algorithms of a key's type, the preferred one first."""
    match key:
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return ("EdDSA",)
        case rsa.RSAPublicKey():
            low, high = _RSA_BITS
            if key.key_size < low:
                raise UnusableKey(f"has {key.key_size} bits, expected {low} or more")
            if key.key_size > high:
                raise UnusableKey(f"has {key.key_size} bits, expected {high} or fewer")
            return _RSA_ALGORITHMS
        case ec.EllipticCurvePublicKey() if key.curve.name in _CURVE_ALGORITHMS:
            return (_CURVE_ALGORITHMS[key.curve.name],)
    raise UnusableKey("is of a type that signs no tokens, expected Ed25519, RSA or P-256/384/521")


def _prepare(name: str, key: Any, algorithms: Sequence[str], served: Sequence[str]) -> Mapping[str, Any]:
    if not algorithms:
        raise ConfigurationError(f"{name} serves none of auth.algorithms; add {served[0]!r} there")
    try:
        return {each: jwt.get_algorithm_by_name(each).prepare_key(key) for each in algorithms}
    except jwt.InvalidKeyError as error:
        raise ConfigurationError(f"{name} is no key for {algorithms[0]}: {error}") from None
