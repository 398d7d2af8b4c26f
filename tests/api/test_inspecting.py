"""Channels, connections, locks and counts: right, in pages, and only for who may look."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.api.inspecting import page
from tests.api.rig import Api


async def test_channels_with_subscribers_are_listed() -> None:
    api = Api()
    ada, bob = api.world.client(name="Ada"), api.world.client(name="Bob")
    for client in (ada, bob):
        client.ask("subscribe", channel="chat/lobby")
    bob.ask("subscribe", channel="live/t")
    bob.ask("subscribe", channel="chat/#")
    answer = await api.post("channels", {})
    assert [
        (c["channel"], c["namespace"], c["pattern"], c["subscribers"], c["members"]) for c in answer["channels"]
    ] == [
        ("chat/#", "chat", True, 1, None),
        ("chat/lobby", "chat", False, 2, 2),
        ("live/t", "live", False, 1, None),
    ]
    assert (answer["total"], answer["next"]) == (3, None)
    only = await api.post("channels", {"pattern": "live/+"})
    assert [c["channel"] for c in only["channels"]] == ["live/t"]


async def test_a_pattern_that_is_none_is_refused() -> None:
    refused = await Api().refused("channels", {"pattern": "a#"})
    assert refused["code"] == 107


async def test_connections_are_listed_and_found() -> None:
    api = Api()
    ada = api.world.client(token="ada:", address="192.0.2.7")
    api.world.client("classic", name="Bob")
    ada.ask("subscribe", channel="news")
    api.world.clock.advance(5.0)
    answer = await api.post("connections", {})
    assert answer["total"] == 2
    found = await api.post("connections", {"user": "ada"})
    entry = found["connections"][0]
    assert entry["age_s"] >= 5.0
    assert entry["idle_s"] >= 5.0
    del entry["age_s"], entry["idle_s"]
    assert entry == {
        "session": ada.session.id,
        "node": ada.world.hub.node,
        "user": "ada",
        "name": "ada",
        "address": "192.0.2.7",
        "carrier": "websocket",
        "protocol": "chappe.v1",
        "channels": ["news"],
        "background": False,
        "queued_bytes": 0,
        "bytes_in": None,
        "bytes_out": None,
        "messages_in": None,
        "messages_out": None,
    }
    by_channel = await api.request("GET", "/api/connections?channel=chat/lobby")
    assert [each["name"] for each in by_channel.json()["connections"]] == ["Bob"]


async def test_pages_go_on_where_the_last_one_ended() -> None:
    api = Api()
    for _ in range(5):
        api.world.client().ask("ping")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        answer = await api.post("connections", {"limit": 2, "after": after})
        assert answer["total"] == 5
        seen += [each["session"] for each in answer["connections"]]
        after = answer["next"]
    assert seen == sorted(api.hub.sessions)


async def test_locks_are_listed() -> None:
    api = Api()
    ada, bob = api.world.client(name="Ada"), api.world.client(name="Bob")
    token = ada.ask("lock", resource="doc/1", ttl=30)["token"]
    ada.ask("lock", resource="doc/2", ttl=0)
    bob.command("lock", resource="doc/1", wait=10)
    answer = await api.post("locks", {})
    first, second = answer["locks"]
    assert (first["resource"], first["owner"], first["token"], first["waiting"]) == ("doc/1", ada.session.id, token, 1)
    assert first["expires"].endswith("Z")
    assert (second["resource"], second["expires"], second["waiting"]) == ("doc/2", None, 0)


async def test_info_counts() -> None:
    api = Api()
    api.world.client(token="ada:").ask("subscribe", channel="news")
    api.world.client(token="ada:")
    await api.post("publish", {"channel": "news", "data": 1})
    await api.refused("publish", {})
    answer = await api.post("info", {})
    assert (answer["version"], answer["node"], answer["broker"]) == ("0", "n1", "memory")
    assert (answer["sessions"], answer["users"], answer["channels"], answer["locks"]) == (2, 1, 1, 0)
    assert answer["totals"]["published"] == 1
    assert answer["errors"] == {"107": 1}
    assert answer["uptime_s"] >= 0


@pytest.mark.parametrize("fields", [{"limit": 0}, {"limit": 1_001}, {"limit": None}, {"after": 7}, {"offset": 1}])
@pytest.mark.parametrize("command", ["channels", "connections", "locks"])
async def test_a_wrong_page_is_named(command: str, fields: dict[str, Any]) -> None:
    refused = await Api().refused(command, fields)
    assert refused["parameters"]["field"] == next(iter(fields))


@given(st.sets(st.text(max_size=3)), st.integers(1, 4))
def test_pages_together_are_everything_in_order(names: set[str], limit: int) -> None:
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        found, after = page(names, after, limit)
        assert len(found) <= limit
        seen += found
    # A name is never empty; "" is where the first page begins.
    assert seen == sorted(names - {""})
