"""Tokens that are refused before they expire."""

from chappe.hub.contracts import Claims
from chappe.hub.revocation import Revocations
from tests.hub.harness import Tokens, World

TOKENS = Tokens(one=Claims(user="Ada", token_id="1"), other=Claims(user="Ada", token_id="2"), none=Claims(user="Ada"))


def test_a_revoked_token_is_refused_until_its_end_and_others_are_not() -> None:
    world = World(anonymous=False, authenticator=TOKENS)
    end = world.clock.wall_ms() / 1_000 + 10
    world.hub.revocations.add([("1", end)], 0.0)

    def code(credential: str) -> int:
        told: list[int] = []
        world.hub.authentication.verify(credential, lambda _, error: told.append(error.code if error else 0))
        return told[0]

    ticket, _ = world.hub.authentication.tickets.issue(TOKENS.claims["one"])
    assert [code(token) for token in ("one", "other", "none", ticket)] == [101, 0, 0, 101]
    world.clock.advance(10)
    assert code("one") == 0
    assert len(world.hub.revocations) == 0


def test_the_later_end_counts() -> None:
    revocations = Revocations()
    revocations.add([("1", 100.0), ("1", 50.0)], 0.0)
    assert revocations.refuses("1", 75.0)


def test_what_expires_first_is_forgotten_when_there_are_too_many() -> None:
    revocations = Revocations()
    for first in range(0, 200_000, 1_000):
        revocations.add([(str(number), 1.0 + number) for number in range(first, first + 1_000)], 0.0)
    assert len(revocations) <= 101_024
    assert revocations.refuses("199999", 0.0)
    assert not revocations.refuses("0", 0.0)
