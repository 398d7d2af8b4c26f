"""Tokens that are refused before they expire: by their id, and all of a user's."""

from typing import Any

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.revocation import Revocations
from tests.hub.harness import Tokens, World

TOKENS = Tokens(one=Claims(user="Ada", token_id="1"), other=Claims(user="Ada", token_id="2"), none=Claims(user="Ada"))


def shown(token_id: str) -> Claims:
    return Claims(user="Ada", token_id=token_id)


def code_of(world: World, credential: str) -> int:
    """Return how a credential is refused; 0: it is not."""
    told: list[int] = []
    world.hub.authentication.verify(credential, lambda _, error: told.append(error.code if error else 0))
    return told[0]


def test_a_revoked_token_is_refused_until_its_end_and_others_are_not() -> None:
    world = World(anonymous=False, authenticator=TOKENS)
    end = world.clock.wall_ms() / 1_000 + 10
    world.hub.revocations.add([("token", "1", end, 0.0)], 0.0)
    ticket, _ = world.hub.authentication.tickets.issue(TOKENS.claims["one"])
    assert [code_of(world, token) for token in ("one", "other", "none", ticket)] == [101, 0, 0, 101]
    world.clock.advance(10)
    assert code_of(world, "one") == 0
    assert len(world.hub.revocations) == 0


def test_of_a_user_whatever_was_issued_until_then_is_refused_and_nothing_newer() -> None:
    world = World(anonymous=False)
    now = world.clock.wall_ms() / 1_000
    claims = {
        "older": Claims(user="Ada", issued_at=now - 60),
        "now": Claims(user="Ada", issued_at=now),
        "newer": Claims(user="Ada", issued_at=now + 1),
        "silent": Claims(user="Ada"),
        "another": Claims(user="Eve", issued_at=now - 60),
    }
    world = World(anonymous=False, authenticator=Tokens(**claims), clock=world.clock)
    # A backend asked for it, and nobody has come with it yet.
    ticket, _ = world.hub.authentication.tickets.issue(Claims(user="Ada"))
    world.hub.revoke_here("Ada", None, None, now + 30)
    assert {name: code_of(world, name) for name in claims} == {
        "older": 101,
        "now": 101,
        "newer": 0,
        "silent": 0,
        "another": 0,
    }
    assert code_of(world, ticket) == 101
    world.clock.advance(30)
    assert code_of(world, "older") == 0
    assert len(world.hub.revocations) == 0


@pytest.mark.parametrize("how", ["user", "session", "token"])
def test_a_certificate_is_revoked_as_a_token_is(how: str) -> None:
    world = World(anonymous=False)
    now = world.clock.wall_ms() / 1_000
    held = Claims(user="Ada", token_id="certificate:1f:CN=ca", issued_at=now - 60, expires_at=now + 3_600)

    def connect() -> Any:
        client = world.client(claims=held)
        client.ask("connect")
        return client

    client = connect()
    assert client.session.user == "Ada"
    what = {"user": "Ada", "session": client.session.id, "token": held.token_id}
    user, session, token = (what[how] if how == each else None for each in ("user", "session", "token"))
    assert world.hub.revoke_here(user, session, token, now + 3_600) == 1
    assert connect().link.closed[0] == 3500


def test_the_later_moments_count() -> None:
    revocations = Revocations()
    revocations.add([("token", "1", 100.0, 0.0), ("token", "1", 50.0, 0.0)], 0.0)
    assert revocations.refuses(shown("1"), 75.0)
    revocations.add([("user", "Ada", 100.0, 10.0), ("user", "Ada", 50.0, 20.0)], 0.0)
    assert revocations.refuses(Claims(user="Ada", issued_at=15.0), 75.0)


def test_a_user_whose_name_is_the_id_of_a_token_is_not_refused_for_it() -> None:
    revocations = Revocations()
    revocations.add([("token", "Ada", 100.0, 0.0), ("user", "1", 100.0, 50.0)], 0.0)
    assert not revocations.refuses(Claims(user="Ada", token_id="1", issued_at=1.0), 0.0)


def test_what_expires_first_is_forgotten_when_there_are_too_many() -> None:
    revocations = Revocations()
    for first in range(0, 200_000, 1_000):
        numbers = range(first, first + 1_000)
        revocations.add([("token", str(number), 1.0 + number, 0.0) for number in numbers], 0.0)
        revocations.add([("user", str(number), 1.0 + number, 5.0) for number in numbers], 0.0)
    assert len(revocations) <= 2 * 101_024
    for last, refused in (("199999", True), ("0", False)):
        assert revocations.refuses(shown(last), 0.0) is refused
        assert revocations.refuses(Claims(user=last, issued_at=1.0), 0.0) is refused
