"""Keys of a set: public ones that sign, each for its own algorithms; everything else is left out, with a reason."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from chappe.auth.keys import PUBLIC_ALGORITHMS, UnusableKey, prepare_jwk
from tests.auth.issuer import jwk_of

ALL = sorted(PUBLIC_ALGORITHMS)
ED = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize(
    ("key", "algorithm", "served"),
    [
        (ED, "EdDSA", {"EdDSA"}),
        (ed448.Ed448PrivateKey.generate(), "EdDSA", {"EdDSA"}),
        (P256, "ES256", {"ES256"}),
        (ec.generate_private_key(ec.SECP384R1()), "ES384", {"ES384"}),
        (ec.generate_private_key(ec.SECP521R1()), "ES512", {"ES512"}),
        (RSA, "RS256", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ],
)
def test_a_key_serves_the_algorithms_of_its_type(key: Any, algorithm: str, served: set[str]) -> None:
    found = prepare_jwk(jwk_of(key, algorithm, kid="k"), ALL)
    assert (found.kid, set(found.prepared)) == ("k", served)


def test_a_key_that_names_its_algorithm_serves_no_other() -> None:
    assert set(prepare_jwk(jwk_of(RSA, "RS256", alg="PS384"), ALL).prepared) == {"PS384"}


def test_only_configured_algorithms_are_served() -> None:
    assert set(prepare_jwk(jwk_of(RSA, "RS256"), ["RS512", "ES256"]).prepared) == {"RS512"}
    with pytest.raises(UnusableKey, match="none of the algorithms"):
        prepare_jwk(jwk_of(RSA, "RS256"), ["ES256"])


PRIVATE = json.loads(jwt.get_algorithm_by_name("EdDSA").to_jwk(ED))


@pytest.mark.parametrize(
    ("jwk", "why"),
    [
        (None, "no JSON Web Key"),
        ([], "no JSON Web Key"),
        ("key", "no JSON Web Key"),
        ({}, "no public key"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "no public key"),
        ({"kty": "AKP", "pub": "x"}, "no public key"),
        ({"kty": ["RSA"]}, "no JSON Web Key"),
        (PRIVATE, "no public key"),
        (jwk_of(ED, "EdDSA", kid=7), "no JSON Web Key"),
        (jwk_of(ED, "EdDSA", kid="x" * 1_000), "too long a kid"),
        (jwk_of(ED, "EdDSA", use="enc"), "not for signatures"),
        (jwk_of(ED, "EdDSA", key_ops=["sign"]), "not for signatures"),
        (jwk_of(ED, "EdDSA", key_ops="verify"), "not for signatures"),
        (jwk_of(ED, "EdDSA", alg="none"), "none of the algorithms"),
        (jwk_of(ED, "EdDSA", alg="HS256"), "none of the algorithms"),
        (jwk_of(ED, "EdDSA", x="!!"), "cannot be read"),
        (jwk_of(ED, "EdDSA", x=None), "cannot be read"),
        (jwk_of(ED, "EdDSA", crv="X25519"), "cannot be read"),
        (jwk_of(P256, "ES256", crv="secp256k1"), "cannot be read"),
        (jwk_of(P256, "ES256", y="AAAA"), "cannot be read"),
        (jwk_of(RSA, "RS256", e="AQ"), "cannot be read"),
        (jwk_of(RSA, "RS256", n="AQAB"), "cannot be read"),
        (jwk_of(RSA, "RS256", n="A" * 100_000), "too large"),
    ],
)
def test_what_cannot_verify_is_left_out_with_a_reason(jwk: Any, why: str) -> None:
    with pytest.raises(UnusableKey, match=why):
        prepare_jwk(jwk, ALL)


MEMBERS = st.sampled_from(["kty", "kid", "use", "alg", "crv", "n", "e", "x", "y", "key_ops", "d"])
VALUES = st.one_of(
    st.none(), st.integers(), st.text(max_size=8), st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB"])
)


@given(st.dictionaries(MEMBERS, VALUES), st.sampled_from([(ED, "EdDSA"), (P256, "ES256"), (RSA, "RS256")]))
def test_any_key_is_usable_or_left_out(changes: dict[str, Any], base: tuple[Any, str]) -> None:
    try:
        found = prepare_jwk(jwk_of(*base) | changes, ALL)
    except UnusableKey:
        return
    assert set(found.prepared) <= PUBLIC_ALGORITHMS
