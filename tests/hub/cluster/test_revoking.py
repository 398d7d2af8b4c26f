"""A token that is revoked on one node is refused on all."""

from collections.abc import Callable

import pytest

from chappe.hub.contracts import Claims
from chappe.model.error_codes import Code
from tests.hub.cluster.rig import TOKENS, Nodes, ended
from tests.hub.harness import Client

EXPIRES = 1_795_348_800.0 + 600.0


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    named = Claims(user="Ada", token_id="7", expires_at=EXPIRES)
    monkeypatch.setitem(TOKENS.claims, "named", named)
    monkeypatch.setitem(TOKENS.claims, "renewed", Claims(user="Ada", token_id="8", expires_at=EXPIRES))
    return Nodes()


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (lambda client: {"token": "7"}, Code.INVALID_TOKEN),
        (lambda client: {"user": "Ada"}, Code.DISCONNECTED),
        (lambda client: {"session": client.session.id}, Code.DISCONNECTED),
    ],
)
def test_sessions_end_and_their_token_is_refused_everywhere(
    nodes: Nodes, what: Callable[[Client], dict[str, str]], code: int
) -> None:
    a, b = nodes.worlds
    client = b.client(token="named")
    counts = revoke(nodes, **what(client))
    assert counts == [1]
    assert ended(client) == code
    late = nodes.add()
    nodes.pass_time(0.1)
    for world in (a, b, late):
        again = world.client()
        again.ask("connect", token="named")
        assert ended(again) == Code.INVALID_TOKEN
        assert world.client(token="renewed").session.is_open
    nodes.beat_until(601)
    for world in (a, b, late):
        assert len(world.hub.revocations.entries(world.clock.wall_ms() / 1_000)) == 0


def test_what_a_user_was_given_before_is_refused_on_each_node_used_or_not(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = nodes.worlds
    now = nodes.clock.wall_ms() / 1_000
    for name, issued_at in (("unused", now - 5), ("newer", now + 5)):
        monkeypatch.setitem(TOKENS.claims, name, Claims(user="Ada", expires_at=EXPIRES, issued_at=issued_at))
    ticket, _ = b.hub.authentication.tickets.issue(Claims(user="Ada"))
    revoke(nodes, user="Ada")
    late = nodes.add()
    nodes.pass_time(0.1)
    for world in (a, b, late):
        for credential in ("unused", ticket):
            client = world.client()
            client.ask("connect", token=credential)
            nodes.pass_time(0.1)
            assert ended(client) == Code.INVALID_TOKEN
        assert world.client(token="newer").session.is_open


def test_a_node_that_was_cut_off_learns_what_is_refused(nodes: Nodes) -> None:
    _, b = nodes.worlds
    nodes.way(1).cut()
    revoke(nodes, token="7")
    nodes.beat_until(3)
    nodes.way(1).restore()
    nodes.pass_time(0.1)
    client = b.client()
    client.ask("connect", token="named")
    assert ended(client) == Code.INVALID_TOKEN


def revoke(nodes: Nodes, user: str | None = None, session: str | None = None, token: str | None = None) -> list[int]:
    """Revoke at the first node; return how many sessions ended at others."""
    hub = nodes.worlds[0].hub
    counts: list[int] = []
    hub.revoke_here(user, session, token, EXPIRES)
    assert hub.cluster is not None
    hub.cluster.revoking.revoke(user, session, token, EXPIRES, counts.append)
    nodes.pass_time(0.1)
    return counts
