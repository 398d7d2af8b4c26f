"""Opaque tokens: the application says whose they are; who cannot be asked about stays out."""

import asyncio
import json
from typing import Any

import pytest

from chappe.auth.token_webhook import WebhookAuthenticator
from chappe.hub.contracts import Claims
from chappe.hub.revocation import Revocations
from chappe.model.errors import ChappeError
from chappe.telemetry import redact
from chappe.testing.fake_clock import FakeClock
from tests.auth.issuer import Issuer, issuer

NOW = 1_795_348_800.0


class World:
    """A webhook and a clock that the test moves."""

    def __init__(self, server: Issuer, **options: Any) -> None:
        self.clock = FakeClock(wall_ms=int(NOW * 1_000))
        self.webhook = WebhookAuthenticator(server.url, self.clock, **options)

    async def verify(self, token: str) -> Claims:
        """Verify a token."""
        answer = self.webhook.authenticate(token, NOW)
        claims: Claims = answer if isinstance(answer, Claims) else await answer
        return claims

    async def code(self, token: str) -> int:
        """Return how a token is refused."""
        with pytest.raises(ChappeError) as caught:
            await self.verify(token)
        assert token not in str(caught.value)
        return caught.value.code


async def test_an_answer_is_the_claims_of_a_token() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = {
            "user": "ada",
            "expires_at": NOW + 60,
            "scopes": ["api"],
            "subscribe": ["chat/#"],
            "publish": [],
            "info": {"color": "red"},
            "token_id": "t1",
        }
        assert await world.verify("opaque-1") == Claims(
            user="ada",
            expires_at=NOW + 60,
            scopes=frozenset({"api"}),
            subscribe=("chat/#",),
            publish=(),
            info={"color": "red"},
            token_id="t1",
            issued_at=NOW,
        )
        assert json.loads(server.bodies[0]) == {"token": "opaque-1"}
        assert server.requests[0].startswith(b"POST /keys")
        await world.webhook.stop()


async def test_an_answer_counts_for_a_short_time_and_not_beyond_its_own_end() -> None:
    async with issuer() as server:
        world = World(server, cache_s=10.0)
        server.answer = {"user": "ada", "expires_at": NOW + 5}
        await world.verify("opaque-t")
        await world.verify("opaque-t")
        assert len(server.requests) == 1
        world.clock.advance(6)
        assert await world.code("opaque-t") == 109
        world.clock.advance(5)
        server.answer = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
        assert await world.code("opaque-t") == 101
        assert await world.code("opaque-t") == 101
        assert len(server.requests) == 2
        await world.webhook.stop()


async def test_many_with_one_token_ask_once() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = {"user": "ada", "expires_at": NOW + 60}
        server.hold.clear()
        asked = [asyncio.ensure_future(world.verify("opaque-t")) for _ in range(30)]
        while not server.requests:  # noqa: ASYNC110 - the server tells by its list
            await asyncio.sleep(0)
        asked[3].cancel()
        server.hold.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(claims, Claims) for claims in found) == 29
        assert len(server.requests) == 1
        await world.webhook.stop()


async def test_who_is_revoked_while_the_service_is_asked_has_an_older_answer() -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = {"user": "ada", "expires_at": NOW + 60}
        server.hold.clear()
        asked = asyncio.ensure_future(world.verify("opaque-t"))
        while not server.requests:  # noqa: ASYNC110 - the server tells by its list
            await asyncio.sleep(0)
        world.clock.advance(1)
        revocations = Revocations()
        revocations.add([("user", "ada", NOW + 60, NOW + 1)], NOW + 1)
        world.clock.advance(1)
        server.hold.set()
        assert revocations.refuses(await asked, NOW + 2)
        await world.webhook.stop()


GOOD: dict[str, Any] = {"user": "ada", "expires_at": NOW + 60}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 Nothing\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b" " * 70_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff",
        [],
        {},
        {"user": "ada"},
        {"expires_at": NOW + 60},
        GOOD | {"user": 7},
        GOOD | {"user": "a/b"},
        GOOD | {"user": "#"},
        GOOD | {"user": ""},
        GOOD | {"expires_at": "soon"},
        GOOD | {"expires_at": -1},
        GOOD | {"expires_at": 1e300},
        GOOD | {"scopes": "api"},
        GOOD | {"subscribe": ["a/#/b"]},
        GOOD | {"publish": "x"},
        GOOD | {"subscibe": []},
    ],
)
async def test_an_answer_that_cannot_be_used_lets_nobody_in(answer: Any) -> None:
    async with issuer() as server:
        world = World(server)
        server.answer = answer
        assert await world.code("token-1") == 108
        assert world.webhook.metrics() == {"chappe_webhook_asked_total": 1, "chappe_webhook_failures_total": 1}
        # It is not remembered: the service may be well again.
        server.answer = GOOD
        assert (await world.verify("token-1")).user == "ada"
        await world.webhook.stop()


async def test_a_service_that_is_not_there_lets_nobody_in() -> None:
    async with issuer() as server:
        world = World(server)
    assert await world.code("token-1") == 108
    await world.webhook.stop()


async def test_a_service_that_is_not_there_is_told_now_and_then_and_without_its_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with issuer() as server:
        world = World(server)
    world.webhook = WebhookAuthenticator(f"{server.url}?code=s3cretvalue", world.clock)
    for number in range(20):
        assert await world.code(f"token-{number}") == 108
    world.clock.advance(10)
    assert await world.code("token-20") == 108
    lines = [redact(each.getMessage()) for each in caplog.records if each.name == "chappe.auth"]
    assert [line.partition("(")[2].partition(" ")[0] for line in lines] == ["1", "21"]
    assert "s3cretvalue" not in caplog.text
    assert "ConnectError" in lines[0]
    await world.webhook.stop()


async def test_a_flood_of_tokens_waits_in_bounds() -> None:
    async with issuer() as server:
        world = World(server)
        server.hold.clear()
        asked = [asyncio.ensure_future(world.code(f"token-{number}")) for number in range(1_000)]
        await asyncio.sleep(0)
        assert await world.code("one-too-many") == 108
        await world.webhook.stop()
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def test_a_huge_token_is_not_asked_about() -> None:
    with pytest.raises(ChappeError, match="too long"):
        WebhookAuthenticator("http://127.0.0.1:1/", FakeClock()).authenticate("x" * 20_000, NOW)
