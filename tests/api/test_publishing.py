"""Publish and broadcast: stored as said, once, and told why not."""

import base64
from typing import Any

import pytest

from tests.api.rig import Api
from tests.hub.harness import World


async def test_a_publication_reaches_subscribers_and_its_place_is_told() -> None:
    api = Api()
    client = api.world.client()
    client.ask("subscribe", channel="news")
    answer = await api.post("publish", {"channel": "news", "data": {"hello": "world"}})
    assert client.data("news") == [{"hello": "world"}]
    publication = client.publications("news")[0]
    assert (publication["offset"], publication["epoch"]) == (answer["offset"], answer["epoch"])
    assert publication["from"] is None


@pytest.mark.parametrize("value", [0, -1.5, "", "é 😀", None, True, [], {}, [[1, {"a": None}]], "\u0000"])
async def test_any_json_value_is_published_as_it_is(value: Any) -> None:
    api = Api()
    await api.post("publish", {"channel": "news", "data": value})
    page = await api.post("history", {"channel": "news"})
    assert page["publications"][0]["data"] == value


@pytest.mark.parametrize("text", ['{"$base64":"AP8B"}', '{ "$base64" : "AP8B" }'])
async def test_base64_publishes_bytes(text: str) -> None:
    api = Api()
    client = api.world.client("msgpack")
    client.ask("subscribe", channel="news")
    response = await api.request("POST", "/api/publish", content=b'{"channel":"news","data":%b}' % text.encode())
    assert response.status_code == 200
    assert client.data("news") == [b"\x00\xff\x01"]
    page = await api.post("history", {"channel": "news"})
    assert page["publications"][0]["data"] == {"$base64": "AP8B"}


async def test_the_same_id_is_stored_once_and_answered_the_same() -> None:
    api = Api()
    request = {"channel": "news", "data": 1, "id": "order-1"}
    first = await api.post("publish", request)
    assert await api.post("publish", request | {"data": 2}) == first
    page = await api.post("history", {"channel": "news"})
    assert [each["data"] for each in page["publications"]] == [1]
    assert page["publications"][0]["id"] == "order-1"


async def test_a_clients_key_does_not_answer_for_a_backends_id() -> None:
    api = Api()
    for name in ("", "api/shop", "shop"):
        api.world.client(name=name or None).ask("publish", channel="news", data="client's", key="order-1")
    await api.post("publish", {"channel": "news", "data": "backend's", "id": "order-1"})
    page = await api.post("history", {"channel": "news"})
    assert page["publications"][-1]["data"] == "backend's"


async def test_headers_go_along() -> None:
    api = Api()
    await api.post("publish", {"channel": "news", "data": 1, "headers": {"trace": "t1"}})
    page = await api.post("history", {"channel": "news"})
    assert page["publications"][0]["headers"] == {"trace": "t1"}


async def test_expect_stores_only_behind_what_was_seen() -> None:
    api = Api()
    first = await api.post("publish", {"channel": "doc", "data": 1, "expect": 0})
    second = await api.post("publish", {"channel": "doc", "data": 2, "expect": first})
    refused = await api.refused("publish", {"channel": "doc", "data": 3, "expect": first["offset"]})
    assert (refused["status"], refused["code"]) == (409, 114)
    assert refused["parameters"]["offset"] == second["offset"]
    assert [each["data"] for each in refused["parameters"]["publications"]] == [2]


async def test_retain_gives_the_publication_to_later_subscribers() -> None:
    api = Api()
    await api.post("publish", {"channel": "live/t", "data": 21.5, "retain": True})
    client = api.world.client()
    client.ask("subscribe", channel="live/t")
    assert client.data("live/t") == [21.5]


async def test_a_namespace_closed_to_everybody_is_open_to_a_backend() -> None:
    api = Api()
    answer = await api.post("publish", {"channel": "closed/a", "data": 1})
    assert answer["offset"] > 0


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"channel": ""}, 107, "channel"),
        ({"channel": "a/#"}, 107, "channel"),
        ({"channel": "a\u0000b"}, 107, "channel"),
        ({"channel": "x" * 256}, 107, "channel"),
        ({"channel": 7}, 107, "channel"),
        ({"id": ""}, 107, "id"),
        ({"id": "x" * 129}, 107, "id"),
        ({"headers": {"a": 1}}, 107, "headers"),
        ({"headers": {str(n): "" for n in range(65)}}, 107, "headers"),
        ({"headers": {"a": "x" * 9_000}}, 113, None),
        ({"expect": -1}, 107, "expect"),
        ({"expect": "now"}, 107, "expect"),
        ({"expect": 2**64}, 107, "expect"),
        ({"expect": {"offset": 1}}, 107, "expect.epoch"),
        ({"retain": "yes"}, 107, "retain"),
        ({"data": {"$base64": "%"}}, 107, "data"),
        ({"data": {"$base64": 7}}, 107, "data"),
        ({"data": "x" * 65_536}, 113, None),
        ({"date": 1}, 107, "date"),
    ],
)
async def test_what_cannot_be_published_is_named(fields: dict[str, Any], code: int, field: str | None) -> None:
    api = Api()
    refused = await api.refused("publish", {"channel": "news", "data": 1} | fields)
    assert refused["code"] == code
    if field is not None:
        assert refused["parameters"]["field"].startswith(field)
    page = await api.post("history", {"channel": "news"})
    assert page["publications"] == []


@pytest.mark.parametrize("data", [b"[" * 33 + b"]" * 33, b"1e999", b"-", b"nul", b'"\\ud800"', b'"\xff"', b'"\x01"'])
async def test_data_that_no_reader_could_read_is_refused(data: bytes) -> None:
    api = Api()
    response = await api.request("POST", "/api/publish", content=b'{"channel":"news","data":%b}' % data)
    assert response.status_code == 400
    assert response.json()["code"] == 107


async def test_a_payload_of_the_largest_size_passes() -> None:
    api = Api()
    await api.post("publish", {"channel": "news", "data": {"$base64": base64.b64encode(b"x" * 65_536).decode()}})


async def test_a_late_broker_is_waited_for() -> None:
    api = Api(World("faulty"))
    answer = await api.while_time_passes(api.post("publish", {"channel": "news", "data": 1}))
    assert answer["offset"] > 0


async def test_a_broadcast_answers_for_each_channel_in_order() -> None:
    api = Api(World("faulty"))
    request = {"channels": ["a", "b/+", "c", "a"], "data": [1], "headers": {"h": "1"}}
    answer = await api.while_time_passes(api.post("broadcast", request))
    assert [each["channel"] for each in answer["results"]] == ["a", "b/+", "c", "a"]
    assert [each.get("error", {}).get("code") for each in answer["results"]] == [None, 107, None, None]
    assert answer["results"][3]["offset"] > answer["results"][0]["offset"]
    page = await api.while_time_passes(api.post("history", {"channel": "c"}))
    assert page["publications"][0]["data"] == [1]


@pytest.mark.parametrize("channels", [[], ["a"] * 1_001, "a", [1]])
async def test_a_broadcast_to_a_wrong_list_is_refused(channels: Any) -> None:
    refused = await Api().refused("broadcast", {"channels": channels, "data": 1})
    assert refused["parameters"]["field"].startswith("channels")


async def test_a_broadcast_with_an_id_is_stored_once_in_each_channel() -> None:
    api = Api()
    request = {"channels": ["a", "b"], "data": 1, "id": "x"}
    assert await api.post("broadcast", request) == await api.post("broadcast", request)
