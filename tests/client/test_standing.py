"""What a user sees of a connection: the states, by the table and in life."""

import itertools
from typing import Any, get_args

import pytest

from chappe.client import lifeline
from chappe.client.client import connect
from chappe.client.errors import ConnectionLost
from chappe.client.standing import TRANSITIONS, Input, OfflineReason, Standing, State
from chappe.model.errors import LocalProtocolError
from tests.client.recorder import Recorder
from tests.client.scripted_hub import scripted_hub

QUICK: Any = {"reconnect_interval_ms": 10, "reconnect_max_ms": 40, "heartbeat_interval_s": 0}


@pytest.mark.parametrize(("state", "happened"), list(itertools.product(get_args(State), Input)))
def test_every_pair_leads_where_the_table_says_or_is_refused(state: State, happened: Input) -> None:
    standing = Standing(lambda *_: None)
    standing.state = state
    target = TRANSITIONS.get((state, happened))
    if target is None:
        with pytest.raises(LocalProtocolError, match="cannot happen"):
            standing.move(happened)
    else:
        standing.move(happened)
        assert standing.state == target


def test_a_change_is_told_once_with_its_reason() -> None:
    told: list[tuple[State, OfflineReason | None]] = []
    standing = Standing(lambda *change: told.append(change))
    for happened in (Input.DIAL, Input.ACCEPT, Input.ACCEPT):
        standing.move(happened)
    standing.move(Input.LOSE, "hub_down")
    standing.move(Input.LOSE, "no_network")
    assert told == [("live", None), ("offline", "hub_down"), ("offline", "no_network")]


async def test_after_a_cut_a_client_is_catching_up_until_the_last_missed_publication() -> None:
    async with scripted_hub() as hub:
        client = connect(hub.url, **QUICK)
        events = Recorder(client, "state")
        async with client, client.subscribe("news") as news:
            await hub.stop()
            await events.wait("reconnecting")
            for number in range(3):
                await hub.publish("news", number)
            await hub.start()
            assert [(await anext(news)).data for _ in range(3)] == [0, 1, 2]
            assert client.state == "live"
        states = [event for event, _ in itertools.groupby(events.of("state"))]
        around = [state for state in states if state[0] not in ("connecting",)]
        assert around[0] == ("live", None)
        assert ("offline", "hub_down") in around
        assert around[-3:] == [("catching-up", None), ("live", None), ("offline", None)]


async def test_a_client_without_a_network_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "has_network", lambda: False)
    patient: Any = {"reconnect_interval_ms": 60_000, "jitter": "none"}
    async with scripted_hub() as hub, connect(hub.url, **patient) as client:
        events = Recorder(client, "state")
        await hub.stop()
        assert await events.wait("state") == ("offline", "no_network")
        assert client.reason == "no_network"


async def test_who_is_told_no_for_good_is_refused() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client:
        await hub.close(3500)
        await client.wait_closed()
        assert (client.state, client.reason) == ("refused", None)


async def test_who_gave_up_is_offline() -> None:
    async with scripted_hub() as hub, connect(hub.url, max_attempts=1, **QUICK) as client:
        await hub.stop()
        await client.wait_closed()
        assert (client.state, client.reason) == ("offline", "hub_down")
        assert isinstance(client.error, ConnectionLost)
