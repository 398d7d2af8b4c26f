"""Published keys: fetched from the configured address, at most once a minute, and kept while the issuer is away."""

import asyncio
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chappe.auth.jwks import KeySet, NoKeySet, read_key_set
from chappe.auth.jwt import JwtAuthenticator, JwtOptions
from chappe.hub.contracts import Claims
from chappe.model.errors import ChappeError
from chappe.testing.fake_clock import FakeClock
from tests.auth.issuer import Issuer, issuer, jwk_of

NOW = 1_795_348_800.0
OLD, NEW, THIEF = (ed25519.Ed25519PrivateKey.generate() for _ in range(3))
RSA = rsa.generate_private_key(65537, 2048)


def token(key: Any, kid: str | None, algorithm: str = "EdDSA", **claims: Any) -> str:
    said = {"sub": "ada", "aud": "chappe", "exp": NOW + 600} | claims
    return jwt.encode(said, key, algorithm, headers={} if kid is None else {"kid": kid})


def published(**keys: Any) -> dict[str, Any]:
    return {"keys": [jwk_of(key, "EdDSA", kid=kid) for kid, key in keys.items()]}


class World:
    """An authenticator with the keys of an issuer, and a clock that the test moves."""

    def __init__(self, server: Issuer, *algorithms: str, **options: Any) -> None:
        self.clock = FakeClock()
        self.keys = KeySet(server.url, algorithms or ("EdDSA",), self.clock, **options)
        self.authenticator = JwtAuthenticator(JwtOptions(algorithms=algorithms or ("EdDSA",), key_set=self.keys))

    async def verify(self, text: str) -> Claims:
        """Verify a token, and wait if somebody has to be asked."""
        answer = self.authenticator.authenticate(text, NOW)
        return answer if isinstance(answer, Claims) else await answer

    async def refused(self, text: str) -> tuple[int, str]:
        """Return how a token is refused."""
        with pytest.raises(ChappeError) as caught:
            await self.verify(text)
        return caught.value.code, str(caught.value.detail.get("problem", ""))


async def test_the_first_token_waits_for_the_keys_and_the_next_do_not() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = published(k1=OLD)
        assert (await world.verify(token(OLD, "k1"))).user == "ada"
        assert isinstance(world.authenticator.authenticate(token(OLD, "k1"), NOW), Claims)
        assert len(server.requests) == 1
        await world.keys.stop()


async def test_keys_are_fetched_at_the_start_if_the_hub_has_one() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = published(k1=OLD)
        world.keys.start()
        await world.keys.fetch()
        assert isinstance(world.authenticator.authenticate(token(OLD, "k1"), NOW), Claims)
        await world.keys.stop()


async def test_a_new_key_is_found_when_a_token_names_it_and_the_old_one_stays_until_it_is_withdrawn() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = published(k1=OLD)
        await world.verify(token(OLD, "k1"))
        server.answer = published(k1=OLD, k2=NEW)
        world.clock.advance(61)
        assert (await world.verify(token(NEW, "k2"))).user == "ada"
        assert (await world.verify(token(OLD, "k1"))).user == "ada"
        server.answer = published(k2=NEW)
        world.clock.advance(3_601)
        await world.verify(token(NEW, "k2"))
        await world.keys.fetch()
        assert await world.refused(token(OLD, "k1")) == (101, "kid: unknown key")
        await world.keys.stop()


async def test_unknown_keys_are_asked_for_once_a_minute_however_many_there_are() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = published(k1=OLD)
        await world.verify(token(OLD, "k1"))
        for number in range(20):
            assert (await world.refused(token(THIEF, f"x{number}")))[0] == 101
        assert len(server.requests) == 1
        world.clock.advance(61)
        refused = await asyncio.gather(*(world.refused(token(THIEF, f"y{number}")) for number in range(20)))
        assert set(refused) == {(101, "kid: unknown key")}
        assert len(server.requests) == 2
        await world.keys.stop()


async def test_many_who_wait_for_the_first_keys_share_one_fetch() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = published(k1=OLD)
        server.hold.clear()
        waiting = [asyncio.ensure_future(world.verify(token(OLD, "k1"))) for _ in range(50)]
        while not server.requests:  # noqa: ASYNC110 - the server tells by its list
            await asyncio.sleep(0)
        waiting[0].cancel()
        server.hold.set()
        found = await asyncio.gather(*waiting[1:])
        assert {claims.user for claims in found} == {"ada"}
        assert len(server.requests) == 1
        await asyncio.gather(waiting[0], return_exceptions=True)
        await world.keys.stop()


BROKEN = {
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "an error": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "too much": b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000),
    "garbage": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff{[}",
    "no HTTP": b"\x00\x01\x02\r\n\r\n",
    "another JSON": [1, 2],
    "no list": {"keys": {"k1": 1}},
    "an empty set": {"keys": []},
    "keys of other kinds": {"keys": [{"kty": "oct", "k": "x"}, 7, None]},
    "deep JSON": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000,
}


@pytest.mark.parametrize("name", BROKEN)
async def test_the_last_good_keys_stay_when_the_issuer_answers_with(name: str) -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = published(k1=OLD)
        await world.verify(token(OLD, "k1"))
        server.answer = BROKEN[name]
        world.clock.advance(4_000)
        assert (await world.refused(token(NEW, "k2"))) == (101, "kid: unknown key")
        assert (await world.verify(token(OLD, "k1"))).user == "ada"
        assert world.keys.failures == 1
        await world.keys.stop()


async def test_without_any_keys_nobody_gets_in_and_everybody_may_come_back() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = BROKEN["an error"]
        assert (await world.refused(token(OLD, "k1")))[0] == 108
        assert (await world.refused(token(OLD, "k1")))[0] == 108
        assert len(server.requests) == 1
        server.answer = published(k1=OLD)
        world.clock.advance(6)
        assert (await world.verify(token(OLD, "k1"))).user == "ada"
        await world.keys.stop()


@pytest.mark.slow
async def test_a_silent_issuer_holds_nobody_up_for_long() -> None:
    async with issuer() as server:
        world = World(server, timeout_s=0.2)
        server.hold.clear()
        assert (await world.refused(token(OLD, "k1")))[0] == 108
        await world.keys.stop()


async def test_of_two_keys_with_one_name_either_may_have_signed_with_its_own_algorithm() -> None:
    async with issuer() as server:
        world = World(server, "EdDSA", "RS256")
        server.answer = {
            "keys": [jwk_of(OLD, "EdDSA", kid="k"), jwk_of(RSA, "RS256", kid="k"), *published(k=NEW)["keys"]]
        }
        for key, algorithm in ((OLD, "EdDSA"), (NEW, "EdDSA"), (RSA, "RS256")):
            assert (await world.verify(token(key, "k", algorithm))).user == "ada"
        assert (await world.refused(token(THIEF, "k")))[1] == "wrong signature"
        await world.keys.stop()


async def test_a_token_without_a_kid_is_for_the_only_key_of_its_algorithm() -> None:
    async with issuer() as server:
        world = World(server, "EdDSA", "RS256")
        server.answer = {"keys": [jwk_of(OLD, "EdDSA", kid="a"), jwk_of(RSA, "RS256", kid="b")]}
        assert (await world.verify(token(OLD, None))).user == "ada"
        server.answer = published(a=OLD, b=NEW)
        world.clock.advance(61)
        await world.keys.fetch()
        assert (await world.refused(token(OLD, None)))[1] == "kid: is missing"
        await world.keys.stop()


async def test_an_issuer_that_does_not_name_its_keys_may_change_them() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = {"keys": [jwk_of(OLD, "EdDSA")]}
        await world.verify(token(OLD, None))
        server.answer = {"keys": [jwk_of(NEW, "EdDSA")]}
        assert (await world.refused(token(NEW, None)))[1] == "wrong signature"
        world.clock.advance(61)
        assert (await world.verify(token(NEW, None))).user == "ada"
        await world.keys.stop()


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "http://127.0.0.1/x", "' OR 1=1 --", "k1\x00", "", "K1", "__proto__", "k" * 8_000]
)
async def test_a_kid_is_a_name_among_known_keys_and_nothing_else(kid: str) -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = published(k1=OLD)
        assert (await world.refused(token(THIEF, kid)))[0] == 101
        assert [request.split(b" ")[1] for request in server.requests] == [b"/keys"]
        await world.keys.stop()


async def test_a_public_key_of_the_set_is_no_secret() -> None:
    async with issuer() as server:
        secret = b"0123456789abcdef0123456789abcdef"
        keys = KeySet(server.url, ("RS256", "HS256"), FakeClock())
        authenticator = JwtAuthenticator(JwtOptions(algorithms=("RS256", "HS256"), hmac_secret=secret, key_set=keys))
        jwk = jwk_of(RSA, "RS256", kid="k1")
        server.answer = {"keys": [jwk]}
        await keys.fetch()
        pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for forged in (pem, json.dumps(jwk).encode(), jwk["n"].encode()):
            head = jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"k1"}')
            body = jwt.utils.base64url_encode(json.dumps({"sub": "eve", "aud": "chappe", "exp": NOW + 60}).encode())
            signed = jwt.get_algorithm_by_name("HS256").sign(head + b"." + body, forged)
            text = (head + b"." + body + b"." + jwt.utils.base64url_encode(signed)).decode()
            with pytest.raises(ChappeError, match="wrong signature"):
                authenticator.authenticate(text, NOW)
        await keys.stop()


async def test_where_keys_come_from_is_not_for_the_token_to_say() -> None:
    async with issuer() as server, issuer() as evil:
        world = World(server)
        server.answer, evil.answer = published(k1=OLD), published(k1=THIEF)
        for header in ({"jku": evil.url}, {"x5u": evil.url}, {"jwk": jwk_of(THIEF, "EdDSA")}):
            claims = {"sub": "eve", "aud": "chappe", "exp": NOW + 60, "iss": evil.url}
            stolen = jwt.encode(claims, THIEF, "EdDSA", headers={"kid": "k1", **header})
            assert (await world.refused(stolen))[1] == "wrong signature"
        assert evil.requests == []
        await world.keys.stop()


def test_keys_beyond_any_use_are_counted_and_left_out() -> None:
    good = jwk_of(OLD, "EdDSA", kid="k")
    keys, skipped = read_key_set(json.dumps({"keys": [{"kty": "oct"}, good] + [good] * 100}).encode(), ["EdDSA"])
    assert (len(keys), len(skipped)) == (63, 39)
    with pytest.raises(NoKeySet, match="none can be used"):
        read_key_set(b'{"keys":[{}]}', ["EdDSA"])
