"""History and presence, as backends see them."""

from typing import Any

import pytest

from tests.api.rig import Api, problem
from tests.hub.harness import World


async def filled(api: Api, count: int = 5) -> list[Any]:
    return [await api.post("publish", {"channel": "news", "data": n}) for n in range(count)]


def data(page: Any) -> list[Any]:
    return [each["data"] for each in page["publications"]]


async def test_history_gives_the_newest_oldest_first() -> None:
    api = Api()
    places = await filled(api)
    page = await api.post("history", {"channel": "news", "limit": 2})
    assert data(page) == [3, 4]
    assert {"offset": page["offset"], "epoch": page["epoch"]} == places[-1]
    first = page["publications"][0]
    assert first["channel"] == "news"
    assert first["time"].endswith("Z")
    assert first["from"] is None


async def test_history_goes_on_from_a_place_and_back_from_it() -> None:
    api = Api()
    places = await filled(api)
    assert data(await api.post("history", {"channel": "news", "since": places[1], "limit": 2})) == [2, 3]
    assert data(await api.post("history", {"channel": "news", "since": places[3], "reverse": True})) == [2, 1, 0]


async def test_history_by_query_is_the_same() -> None:
    api = Api()
    await filled(api)
    response = await api.request("GET", "/api/history?channel=news&limit=2&reverse=true")
    assert data(response.json()) == [4, 3]


async def test_a_place_of_another_life_is_told() -> None:
    api = Api()
    await filled(api)
    refused = await api.refused("history", {"channel": "news", "since": {"epoch": "gone", "offset": 1}})
    assert (refused["status"], refused["code"]) == (410, 112)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limit": -1}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"limit": "all"}, "limit"),
        ({"limit": 2**60}, "limit"),
        ({"since": 5}, "since"),
        ({"since": {"epoch": "x"}}, "since.offset"),
        ({"channel": "news/+"}, "channel"),
        ({"reverse": 1}, "reverse"),
    ],
)
async def test_a_wrong_question_is_named(fields: dict[str, Any], field: str) -> None:
    refused = await Api().refused("history", {"channel": "news"} | fields)
    assert (refused["status"], refused["parameters"]["field"]) == (400, field)


async def test_a_sender_is_shown() -> None:
    api = Api()
    client = api.world.client(name="Ada")
    client.ask("publish", channel="news", data="hi")
    page = await api.post("history", {"channel": "news"})
    assert page["publications"][0]["from"] == {"user": None, "name": "Ada", "session": client.session.id}


async def test_a_late_broker_is_waited_for() -> None:
    api = Api(World("faulty"))
    page = await api.while_time_passes(api.post("history", {"channel": "news"}))
    assert page["publications"] == []


async def test_presence_lists_members() -> None:
    api = Api()
    ada = api.world.client(name="Ada")
    ada.ask("subscribe", channel="chat/lobby")
    answer = await api.post("presence", {"channel": "chat/lobby"})
    member = {"session": ada.session.id, "user": None, "name": "Ada", "info": None}
    assert answer == {"channel": "chat/lobby", "members": [member], "count": 1}
    response = await api.request("GET", "/api/presence?channel=chat/lobby")
    assert response.json() == answer


async def test_where_no_presence_is_kept_it_is_not_available() -> None:
    refused = await Api().refused("presence", {"channel": "live/a"})
    assert (refused["status"], refused["code"]) == (503, 108)


async def test_a_query_may_not_say_a_thing_twice() -> None:
    response = await Api().request("GET", "/api/presence?channel=a&channel=b")
    assert problem(response)["parameters"]["field"] == "channel"


async def test_a_page_is_cut_where_it_would_take_too_many_bytes() -> None:
    api = Api(World(history_page_bytes=450))
    await filled(api)
    assert data(await api.post("history", {"channel": "news"})) == [3, 4]
    assert data(await api.post("history", {"channel": "news", "reverse": True})) == [4, 3]
    assert api.world.hub.counters.history_cut == 2
