"""Make and read the files that credentials live in: secrets, private keys, hashed API keys."""

import datetime
import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt

from chappe.cli.grammar import USAGE, Failure
from chappe.cli.texts import T

#: Bytes of randomness in a secret or key; as many as SHA-256 has, so that neither is the weaker part (RFC 7518, 3.2).
SECRET_BYTES = 32
API_KEY_PREFIX = "chappe_"
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_ttl(text: str) -> datetime.timedelta:
    """Return the duration that `90s`, `30m`, `12h` or `7d` means."""
    match = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text)
    if match is None:
        raise Failure(T["token_ttl_bad"].format(value=text), USAGE)
    return datetime.timedelta(**{_UNITS[match[2]]: int(match[1])})


def read_secret(path: str, *, create: bool = False, length: int = SECRET_BYTES) -> bytes:
    """Return the shared secret of a file, without the white space around it.

    Args:
        path: the file; it should be readable by the hub only.
        create: make the file, readable by its owner only, if it does not exist.
        length: bytes that it must have.
    """
    if create and not Path(path).exists():
        _write_new(path, secrets.token_urlsafe(length) + "\n")
    secret = _read(path).strip()
    if len(secret) < length:
        raise Failure(T["token_secret_short"].format(path=path, length=len(secret), expected=length))
    return secret


def read_private_key(path: str) -> tuple[Any, Sequence[str]]:
    """Return a private key and the signature algorithms of its kind, the usual one first."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise Failure(T["token_key_bad"].format(path=path, reason=str(error).partition("\n")[0])) from None
    match key:
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            return key, ("EdDSA",)
        case rsa.RSAPrivateKey():
            return key, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
        case ec.EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return key, (_CURVES[key.curve.name],)
    raise Failure(T["token_key_bad"].format(path=path, reason=type(key).__name__))


def make_api_key() -> str:
    """Return a new API key; its prefix lets logs and secret scanners recognize it."""
    return API_KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def key_line(name: str, key: str) -> str:
    """Return the line of `api.keys_file` for a key: `name:sha256hex`. A key has too much randomness to need a salt."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise Failure(T["token_name_bad"].format(name=name), USAGE)
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def add_api_key(path: str, name: str, line: str) -> None:
    """Append a line to a file of keys, made readable by its owner only; a name that is there already is refused."""
    file = Path(path)
    before = _read(path).decode("utf-8", "replace") if file.exists() else ""
    if any(known.partition(":")[0] == name for known in before.splitlines()):
        raise Failure(T["token_name_taken"].format(path=path, name=name))
    if not file.exists():
        _write_new(path, line + "\n")
        return
    joint = "" if before.endswith("\n") or not before else "\n"
    try:
        with file.open("a", encoding="utf-8") as keys:
            keys.write(f"{joint}{line}\n")
    except OSError as error:
        raise Failure(T["cannot_write"].format(path=path, reason=error.strerror)) from None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Failure(T["cannot_read"].format(path=path, reason=error.strerror)) from None


def _write_new(path: str, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failure(T["cannot_write"].format(path=path, reason=error.strerror)) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
