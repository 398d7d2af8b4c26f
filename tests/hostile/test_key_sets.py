"""Hostile issuers: what is fetched as a set of keys lets nobody in, costs no memory, and no neighbour notices."""

import json
import time
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.auth.issuer import issuer, jwk_of
from tests.hostile.neighbourhood import PATIENCE_S, healthy_neighbour, served
from tests.hostile.requests import get, status_of

KEY: Final = rsa.generate_private_key(65_537, 2_048)
CURVE: Final = ec.generate_private_key(ec.SECP256R1())
GOOD: Final[dict[str, Any]] = jwk_of(KEY, "RS256", kid="k")
POINT: Final[dict[str, Any]] = jwk_of(CURVE, "ES256", kid="k")
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def listed(*keys: Any) -> dict[str, Any]:
    return {"keys": list(keys)}


def body(data: bytes, *fields: bytes) -> bytes:
    return b"".join([OK, b"Content-Length: %d\r\n" % len(data), *(field + b"\r\n" for field in fields), b"\r\n", data])


#: Answers in which no key is that may sign: who comes with a token is told to come back, 503.
WORTHLESS: dict[str, Any] = {
    "nothing": body(b""),
    "no HTTP": b"\x16\x03\x01\x02\x00\r\n\r\n",
    "HTTP/0.9": b"<html>",
    "half a head": OK,
    "a head of 200 KB": OK + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    "10,000 headers": OK + b"X: a\r\n" * 10_000 + b"\r\n",
    "a length of 10 GB": OK + b"Content-Length: 10000000000\r\n\r\n" + b'{"keys":[' + b" " * 300_000,
    "a length that is a word": OK + b"Content-Length: two\r\n\r\n{}",
    "fewer bytes than it says": OK + b'Content-Length: 300\r\n\r\n{"keys":[]}',
    "chunks without end": OK + b"Transfer-Encoding: chunked\r\n\r\n" + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 12,
    "a chunk size of 2^70": OK + b"Transfer-Encoding: chunked\r\n\r\n400000000000000000\r\n",
    "gzip": body(b"\x1f\x8b\x08\x00" + bytes(64), b"Content-Encoding: gzip"),
    "a megabyte of spaces": body(b" " * 1_048_576),
    "status 204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "status 206": b"HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n\r\n{}",
    "status 401 with keys": b"HTTP/1.1 401 No\r\nContent-Length: 11\r\n\r\n" + b'{"keys":[]}',
    "a redirect to this machine": b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "a redirect to a file": b"HTTP/1.1 301 Go\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "a redirect to metadata": b"HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
    "a page": body(b"<!doctype html><title>Log in</title>", b"Content-Type: text/html"),
    "bytes over 127": body(b"\xff\xfe\x00"),
    "UTF-32": body(json.dumps(listed()).encode("utf-32")),
    "depth 100,000": body(b'{"keys":' + b"[" * 100_000),
    "depth 100,000 in a key": body(b'{"keys":[{"n":' + b"[" * 100_000),
    "an integer of 200,000 digits": body(b'{"keys":[{"n":' + b"9" * 200_000 + b"}]}"),
    "NaN": body(b"NaN"),
    "a list": [GOOD],
    "a text": "keys",
    "keys that are an object": {"keys": {"k": GOOD}},
    "keys of null": {"keys": None},
    "no key": listed(),
    "a key that is null": listed(None),
    "a key that is a list": listed([GOOD]),
    "10,000 numbers": listed(*range(10_000)),
    "a key without a kind": listed({**GOOD, "kty": None}),
    "a kind of its own": listed({**GOOD, "kty": "RSA1"}),
    "a kind in small letters": listed({**GOOD, "kty": "rsa"}),
    "a secret": listed({"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"}),
    "a private key": listed({**GOOD, "d": "AQAB"}),
    "a key for encryption": listed({**GOOD, "use": "enc"}),
    "a use that is a list": listed({**GOOD, "use": ["sig"]}),
    "operations that are a text": listed({**GOOD, "key_ops": "verify"}),
    "a key that only signs": listed({**GOOD, "key_ops": ["sign"]}),
    "alg none": listed({**GOOD, "alg": "none"}),
    "alg HS256": listed({**GOOD, "alg": "HS256"}),
    "alg of an algorithm that is not configured": listed({**GOOD, "alg": "RS512"}),
    "a kid that is a number": listed({**GOOD, "kid": 1}),
    "a kid of 100 KB": listed({**GOOD, "kid": "k" * 100_000}),
    "a modulus of 100 KB": listed({**GOOD, "n": "A" * 100_000}),
    "a modulus of nothing": listed({**GOOD, "n": ""}),
    "a modulus of 0": listed({**GOOD, "n": "AA"}),
    "a modulus that is a number": listed({**GOOD, "n": 3}),
    "a modulus of 1,024 bits": listed({**GOOD, "n": GOOD["n"][:171]}),
    "a modulus that is no base64": listed({**GOOD, "n": "\u00e9" * 342}),
    "an exponent of 1": listed({**GOOD, "e": "AQ"}),
    "an exponent of 0": listed({**GOOD, "e": "AA"}),
    "an exponent of 1,000 bytes": listed({**GOOD, "e": "_" * 1_334}),
    "a point that is on no curve": listed({**POINT, "y": POINT["x"]}),
    "a point at 0": listed({**POINT, "x": "A" * 43, "y": "A" * 43}),
    "a point of one number": listed({name: value for name, value in POINT.items() if name != "y"}),
    "a point with a curve of its own": listed({**POINT, "crv": "P-192"}),
    "a curve that is a list": listed({**POINT, "crv": ["P-256"]}),
    "an Edwards key of 31 bytes": listed({"kty": "OKP", "crv": "Ed25519", "x": "A" * 42, "kid": "k"}),
    "a key for agreements": listed({"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "k"}),
}

#: Sets with keys of somebody else, and ours under another name or another kind: 401.
OTHERS: dict[str, Any] = {
    "another key of that name": listed(jwk_of(rsa.generate_private_key(65_537, 2_048), "RS256", kid="k")),
    "64 of that name": listed(*[jwk_of(CURVE, "ES256", kid="k")] * 64),
    "ours behind 64 others": listed(*[POINT] * 64, GOOD),
    "ours under another name": listed({**GOOD, "kid": "other"}),
    "ours without a name": listed({name: value for name, value in GOOD.items() if name != "kid"}),
    "ours under a name in capitals": listed({**GOOD, "kid": "K"}),
    "an exponent of 3": listed({**GOOD, "e": "Aw"}),
    "a name that comes twice": body(json.dumps(listed(GOOD)).replace('"kid": "k"', '"kid": "k", "kid": "x"').encode()),
    "a key of 8,192 bits": listed({**GOOD, "n": "3" * 1_366}),
    "where to find more": {**listed(POINT), "jku": "http://127.0.0.1:1/", "next": "http://127.0.0.1:1/"},
}


def bearing() -> bytes:
    """Return a request with a token that the issuer's real key signed."""
    said = {"sub": "ada", "aud": "chappe", "exp": int(time.time()) + 600, "scope": "operator"}
    token = jwt.encode(said, KEY, "RS256", headers={"kid": "k"})
    return get("/api/channels", f"Authorization: Bearer {token}")


async def expect(answer: Any, status: int) -> None:
    """Let the issuer of a hub answer so, and see how the hub takes the token beside a healthy client."""
    flags: dict[str, Any] = {"auth__algorithms": ("RS256", "ES256", "EdDSA"), "auth__anonymous": True}
    rights = {"namespaces__default__subscribe": "anonymous", "namespaces__default__publish": "anonymous"}
    async with issuer() as found:
        found.answer, found.is_last = answer, True
        with served(server__dev=False, auth__jwks_url=found.url, **flags, **rights) as place:
            async with healthy_neighbour(place):
                told = await place.send(bearing(), silence_s=PATIENCE_S)
            assert found.requests
            assert status_of(told) == status, told[:600]
            assert b"127.0.0.1:1/" not in told


async def test_the_real_key_lets_in() -> None:
    await expect(listed(GOOD), 200)


@pytest.mark.parametrize("name", WORTHLESS)
async def test_an_issuer_without_a_usable_key_lets_nobody_in_and_everybody_come_back(name: str) -> None:
    await expect(WORTHLESS[name], 503)


@pytest.mark.parametrize("name", OTHERS)
async def test_a_key_that_is_another_one_is_401(name: str) -> None:
    await expect(OTHERS[name], 401)
