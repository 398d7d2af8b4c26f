"""Credentials that somebody else has to be asked about: sessions wait in their order, and nobody slips in meanwhile."""

from typing import Any

import pytest

from chappe.hub.contracts import Claims
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from tests.hub.harness import Client, Gate, World


class Slow:
    """Asks somebody about each token, who answers when the test says so."""

    def __init__(self) -> None:
        self.gates: dict[str, Gate] = {}

    def authenticate(self, token: str, wall_s: float) -> Any:
        """Ask."""
        return self._wait(self.gates.setdefault(token, Gate()))

    async def _wait(self, gate: Gate) -> Claims:
        claims: Claims = await gate
        return claims


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def world(slow: Slow) -> World:
    return World(anonymous=False, authenticator=slow)


def test_commands_wait_until_it_is_known_who_asks(world: World, slow: Slow) -> None:
    client = world.client()
    client.send({"type": "connect", "id": 1, "token": "t"})
    client.send({"type": "subscribe", "id": 2, "channel": "members/a"})
    world.settle()
    assert client.received() == []
    slow.gates["t"].open(Claims(user="ada"))
    world.settle()
    assert [message.get("id") for message in client.received()] == [1, 2]
    assert client.session.user == "ada"


@pytest.mark.parametrize(
    ("error", "code", "close"),
    [
        (ChappeError(Code.UNAUTHORIZED), 101, 3500),
        (ChappeError(Code.TOKEN_EXPIRED), 109, 3005),
        (ChappeError(Code.NOT_AVAILABLE), 108, 3010),
        (ValueError("a fault of the authenticator"), 108, 3010),
    ],
)
def test_who_is_refused_later_is_refused_as_at_once(
    world: World, slow: Slow, error: Exception, code: int, close: int
) -> None:
    client = world.client()
    client.send({"type": "connect", "id": 1, "token": "t"})
    client.send({"type": "publish", "id": 2, "channel": "a", "data": 1})
    slow.gates["t"].fail(error)
    world.settle()
    assert [message["code"] for message in client.received()] == [code]
    assert client.link.closed is not None
    assert client.link.closed[0] == close
    assert world.hub.counters.unauthorized == 1


def test_who_leaves_while_somebody_is_asked_is_no_session(world: World, slow: Slow) -> None:
    client = world.client()
    client.send({"type": "connect", "id": 1, "token": "t"})
    client.session.lost(1006)
    slow.gates["t"].open(Claims(user="ada"))
    world.settle()
    assert not world.hub.sessions
    assert not world.hub.names.sessions("ada")


def opened(world: World, slow: Slow) -> Client:
    """Return a session of ada."""
    client = world.client()
    number = client.command("connect", token="t")
    slow.gates["t"].open(Claims(user="ada"))
    world.settle()
    assert client.answer(number)["user"] == "ada"
    return client


def test_a_refresh_keeps_the_old_rights_until_the_answer(world: World, slow: Slow) -> None:
    client = opened(world, slow)
    client.ask("subscribe", channel="members/a")
    number = client.command("refresh", token="newer")
    world.settle()
    assert "members/a" in client.session.subscriptions
    slow.gates["newer"].open(Claims(user="ada", subscribe=("other/#",)))
    world.settle()
    assert client.answer(number)["type"] == "reply"
    assert [message["code"] for message in client.received() if message["type"] == "unsubscribed"] == [2001]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Claims(user="eve"), 101),
        (ChappeError(Code.UNAUTHORIZED), 101),
        (ChappeError(Code.NOT_AVAILABLE), 108),
        (ChappeError(Code.TOKEN_EXPIRED), 109),
    ],
)
def test_a_refused_refresh_changes_nothing(world: World, slow: Slow, answer: Any, code: int) -> None:
    client = opened(world, slow)
    number = client.command("refresh", token="newer")
    gate = slow.gates["newer"]
    gate.open(answer) if isinstance(answer, Claims) else gate.fail(answer)
    world.settle()
    assert client.answer(number)["code"] == code
    assert client.session.user == "ada"
    assert client.link.closed is None
