"""Totals are plain integers that grow."""

from __future__ import annotations

from chappe.hub.counters import Counters
from tests.hub.harness import World


def test_everything_begins_at_zero_and_has_a_name() -> None:
    totals = Counters().totals()
    assert set(totals.values()) == {0}
    assert "errors" not in totals
    assert {"connections", "published", "delivered", "dropped"} <= set(totals)


def test_every_total_is_explained() -> None:
    documented = Counters.__doc__ or ""
    assert [name for name in Counters.__slots__ if name not in documented] == []


def test_errors_are_counted_by_code() -> None:
    counters = Counters()
    for code in (107, 103, 107):
        counters.count_error(code)
    assert counters.errors == {107: 2, 103: 1}


def test_a_short_conversation_is_counted(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a")
    client.ask("publish", channel="a", data=1)
    client.code("publish", channel="closed/a", data=1)
    client.cut()
    totals = world.hub.counters.totals()
    expected = {"connections": 1, "logins": 1, "disconnects": 1, "messages_in": 4, "published": 1, "delivered": 1}
    assert {name: totals[name] for name in expected} == expected
    assert world.hub.counters.errors == {103: 1}
