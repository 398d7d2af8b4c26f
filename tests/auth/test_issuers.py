"""Several issuers: a token is verified with the keys of the one that it names, and with no others."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chappe.auth.issuers import Issuers
from chappe.auth.jwks import KeySet
from chappe.auth.jwt import JwtAuthenticator, JwtOptions
from chappe.auth.token_webhook import WebhookAuthenticator
from chappe.hub.contracts import Claims
from chappe.model.errors import ChappeError, ConfigurationError
from chappe.testing.fake_clock import FakeClock
from tests.auth.issuer import issuer, jwk_of

NOW = 1_795_348_800.0
A, B, C = (ed25519.Ed25519PrivateKey.generate() for _ in range(3))


def of(key: Any, *names: str, **options: Any) -> JwtAuthenticator:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return JwtAuthenticator(JwtOptions(public_keys=(pem,), issuer=names, **options))


def token(key: Any, issuer: str | None, **claims: Any) -> str:
    said = {"sub": "ada", "aud": "chappe", "exp": NOW + 60, "iss": issuer} | claims
    return jwt.encode({name: value for name, value in said.items() if value is not None}, key, "EdDSA")


def accepted(issuers: Issuers, text: str) -> bool:
    try:
        return isinstance(issuers.authenticate(text, NOW), Claims)
    except ChappeError:
        return False


def test_a_key_counts_for_its_own_issuer_only() -> None:
    issuers = Issuers([of(A, "https://a"), of(B, "https://b", "https://b/"), of(C)])
    assert accepted(issuers, token(A, "https://a"))
    assert accepted(issuers, token(B, "https://b/"))
    assert accepted(issuers, token(C, None))
    assert accepted(issuers, token(C, "https://c"))
    for key, name in (
        (B, "https://a"),
        (A, "https://b"),
        (C, "https://a"),
        (A, None),
        (A, "https://a/"),
        (A, "HTTPS://A"),
    ):
        assert not accepted(issuers, token(key, name)), name


def test_without_a_nameless_issuer_every_token_has_to_name_one() -> None:
    issuers = Issuers([of(A, "https://a"), of(B, "https://b")])
    for text in (token(A, None), token(A, "https://x"), "a.b.c", "é.é.é", ".."):
        with pytest.raises(ChappeError, match="iss: another issuer's token"):
            issuers.authenticate(text, NOW)


def test_each_issuer_has_its_own_audiences() -> None:
    issuers = Issuers([of(A, "https://a", audience=("one", "two")), of(B, "https://b", audience="three")])
    assert accepted(issuers, token(A, "https://a", aud="two"))
    assert accepted(issuers, token(A, "https://a", aud=["x", "one"]))
    assert not accepted(issuers, token(A, "https://a", aud="three"))
    assert not accepted(issuers, token(A, "https://a", aud="on"))
    assert not accepted(issuers, token(B, "https://b", aud="one"))


async def test_one_kid_of_two_issuers_is_two_keys() -> None:
    async with issuer() as first, issuer() as second:
        first.answer, second.answer = ({"keys": [jwk_of(key, "EdDSA", kid="k1")]} for key in (A, B))
        clock = FakeClock()
        sets = [KeySet(server.url, ("EdDSA",), clock) for server in (first, second)]
        named = zip(("https://a", "https://b"), sets, strict=True)
        issuers = Issuers([JwtAuthenticator(JwtOptions(issuer=name, key_set=keys)) for name, keys in named])
        issuers.start()
        for keys in sets:
            await keys.fetch()

        def signed(key: Any, name: str) -> str:
            claims = {"sub": "ada", "aud": "chappe", "exp": NOW + 60, "iss": f"https://{name}"}
            return jwt.encode(claims, key, "EdDSA", headers={"kid": "k1"})

        assert accepted(issuers, signed(A, "a"))
        assert accepted(issuers, signed(B, "b"))
        assert not accepted(issuers, signed(B, "a"))
        assert not accepted(issuers, signed(A, "b"))
        assert issuers.metrics()["chappe_jwks_keys"] == 2
        await issuers.stop()


def test_two_issuers_of_one_name_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="'https://a' is there twice"):
        Issuers([of(A, "https://a"), of(B, "https://a")])
    with pytest.raises(ConfigurationError, match="only one may be empty"):
        Issuers([of(A), of(B)])


async def test_what_is_no_jwt_is_for_the_webhook() -> None:
    async with issuer() as server:
        server.answer = {"user": "bob", "expires_at": NOW + 60}
        issuers = Issuers([of(A)], WebhookAuthenticator(server.url, FakeClock()))
        answer = issuers.authenticate("opaque", NOW)
        assert not isinstance(answer, Claims)
        assert (await answer).user == "bob"
        assert accepted(issuers, token(A, None))
        # A forged one is not asked about.
        assert not accepted(issuers, token(B, None))
        assert len(server.requests) == 1
        await issuers.stop()


def test_a_huge_token_is_refused_unread() -> None:
    with pytest.raises(ChappeError, match="too long"):
        Issuers([of(A), of(B, "b")]).authenticate("a." * 1_000_000, NOW)


def test_an_issuer_gives_the_scopes_that_it_may_and_no_others() -> None:
    limited = of(A, "https://a", scopes=("service:billing",))
    found = limited.verify(token(A, "https://a", scope="openid api operator service:billing"), NOW)
    assert found.scopes == {"service:billing"}
    none = of(A, "https://a", scopes=())
    assert none.verify(token(A, "https://a", scope="openid api"), NOW).scopes == set()
    with pytest.raises(ChappeError, match="scope: none that this issuer may give"):
        none.verify(token(A, "https://a", sub=None, scope="api"), NOW)
    assert of(A, "https://a").verify(token(A, "https://a", scope="api"), NOW).scopes == {"api"}


def test_a_token_is_as_old_as_the_slowest_clock_says_and_none_comes_from_the_future() -> None:
    here = of(A, "https://a", leeway_s=1.0)
    assert here.verify(token(A, "https://a", iat=NOW + 0.9), NOW).issued_at == pytest.approx(NOW - 0.1)
    with pytest.raises(ChappeError, match="iat: the token was issued in the future"):
        here.verify(token(A, "https://a", iat=NOW + 1.1), NOW)
