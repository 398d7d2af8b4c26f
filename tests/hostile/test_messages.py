"""Hostile messages over real sockets: a clear coded error each, the connection stays, no neighbour notices."""

import asyncio
import json
from typing import Any, Final

import pytest
import websockets

from tests.hostile.neighbourhood import Place, healthy_neighbour, hear, served, tell
from tests.protocols.vectors import load, title

ALIVE: Final = {"type": "ping", "id": 99}
OPEN: Final = {
    "namespaces__default__subscribe": "anonymous",
    "namespaces__default__publish": "anonymous",
}


def erroneous(name: str, encoding: str) -> list[Any]:
    """Return the vectors of a file that are answered by errors only."""
    return [
        pytest.param(vector, id=title(vector))
        for vector in load(name)
        if encoding in vector and vector["commands"] and all("error" in command for command in vector["commands"])
    ]


@pytest.mark.parametrize("vector", erroneous("chappe.v1.commands.json", "json"))
async def test_every_malformed_message_of_the_vectors_is_answered_and_the_connection_stays(
    place: Place, vector: dict[str, Any]
) -> None:
    async with healthy_neighbour(place), place.connect() as client:
        await client.send(vector["json"])
        await tell(client, ALIVE)
        for command in vector["commands"]:
            answer = await hear(client)
            wanted = command["error"]
            assert (answer["type"], answer["code"], answer.get("id")) == ("error", wanted["code"], wanted["id"])
            assert answer.get("detail", {}).get("field") == wanted["field"]
            assert answer["reason"]
        assert (await hear(client)) == {"type": "pong", "id": 99}


@pytest.mark.parametrize("vector", erroneous("classic.commands.json", "json"))
async def test_every_malformed_message_of_classic_is_answered_and_the_connection_stays(
    place: Place, vector: dict[str, Any]
) -> None:
    async with healthy_neighbour(place), place.connect("/") as client:
        if vector["logged_in"]:
            await tell(client, {"type": "login", "content": "Hostile"})
            while (await hear(client))["type"] != "userlist":
                pass
        await client.send(vector["json"])
        await tell(client, {"type": "ping"})
        for command in vector["commands"]:
            answer = await hear(client)
            assert (answer["type"], answer["code"]) == ("error", command["error"]["code"])
            assert answer["content"]
        assert (await hear(client)) == {"type": "pong"}


BAD_CHANNELS: dict[str, str] = {
    "nothing": "",
    "NUL": "a\0b",
    "a line end": "a\nb",
    "DEL": "a\x7f",
    "a C1 control": "a\x85b",
    "256 bytes": "x" * 256,
    "128 characters of two bytes": "é" * 128,
    "60,000 bytes": "x" * 60_000,
}
CHANNEL_COMMANDS: dict[str, dict[str, Any]] = {
    "subscribe": {},
    "publish": {"data": 1},
    "history": {},
    "presence": {},
}


@pytest.mark.parametrize("kind", CHANNEL_COMMANDS)
@pytest.mark.parametrize("name", BAD_CHANNELS)
async def test_a_channel_name_that_is_none_is_107(place: Place, kind: str, name: str) -> None:
    command = {"type": kind, "id": 1, "channel": BAD_CHANNELS[name], **CHANNEL_COMMANDS[kind]}
    await expect_error(place, command, 107, "channel")


async def expect_error(place: Place, command: dict[str, Any], code: int, field: str | None = None) -> dict[str, Any]:
    async with healthy_neighbour(place), place.connect() as client:
        await tell(client, command)
        answer = await hear(client)
        await tell(client, ALIVE)
        assert (await hear(client)) == {"type": "pong", "id": 99}
    assert (answer["type"], answer["id"], answer["code"]) == ("error", command["id"], code), answer
    assert answer.get("detail", {}).get("field") == field
    return answer


def command(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, "id": 1, **members}


REFUSED: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "a pattern to publish to": (command("publish", channel="a/#", data=1), 107, "channel"),
    "a pattern to read": (command("history", channel="+"), 107, "channel"),
    "a wildcard within a segment": (command("subscribe", channel="a+/b"), 107, "channel"),
    "a # before the end": (command("subscribe", channel="#/a"), 107, "channel"),
    "the hub's own channel": (command("subscribe", channel="$hub/secrets"), 103, None),
    "publishing to the hub's own channel": (command("publish", channel="$hub/x", data=1), 103, None),
    "another user's channel": (command("subscribe", channel="$user/ada"), 103, None),
    "a pattern over the hub's own channels": (command("subscribe", channel="$hub/#"), 103, None),
    "a since of nonsense": (command("subscribe", channel="a", since="yesterday"), 107, "since"),
    "a since below zero": (command("subscribe", channel="a", since=-1), 107, "since"),
    "a limit below zero": (command("history", channel="a", limit=-1), 107, "limit"),
    "a limit of a million": (command("history", channel="a", limit=1_000_000), 107, "limit"),
    "a history of another epoch": (command("history", channel="a", since={"epoch": "no", "offset": 1}), 112, None),
    "an empty key": (command("publish", channel="a", data=1, key=""), 107, "key"),
    "a key of 129 characters": (command("publish", channel="a", data=1, key="k" * 129), 107, "key"),
    "expecting what is not": (command("publish", channel="hostile/expect", data=1, expect=10**30), 114, None),
    "expecting another epoch": (
        command("publish", channel="a", data=1, expect={"epoch": "no", "offset": 0}),
        114,
        None,
    ),
    "an empty name": (command("connect", name=" \t "), 107, "name"),
    "a name of 65 characters": (command("connect", name="n" * 65), 107, "name"),
    "a name that turns text around": (command("connect", name="Ada\u202e"), 107, "name"),
    "a name nobody can see": (command("connect", name="\u200b\u200b"), 107, "name"),
    "a name with NUL": (command("connect", name="A\0da"), 107, "name"),
    "an empty resource": (command("lock", resource=""), 107, "resource"),
    "a resource of 256 bytes": (command("lock", resource="r" * 256), 107, "resource"),
    "a lease of a year": (command("lock", resource="r", ttl=31_536_000), 107, "ttl"),
    "a lease below zero": (command("lock", resource="r", ttl=-1), 107, "ttl"),
    "waiting for a year": (command("lock", resource="r", wait=31_536_000), 107, "wait"),
    "another's lock": (command("unlock", resource="nobody's"), 118, None),
    "an unknown method": (command("rpc", method="__import__", params=["os"]), 104, "method"),
    "a stream": (command("rpc", method="m", stream=True), 108, None),
    "a cancel of nothing": (command("cancel"), 108, None),
    "a token that is none": (command("refresh", token="x.y.z"), 101, None),
    "a subscription that is not there": (command("unsubscribe", channel="never"), 102, None),
    "a message of 65,537 bytes": (command("publish", channel="a", data="x" * 65_500), 113, None),
    "1,001 members": (command("publish", channel="a", data={str(n): 1 for n in range(1_001)}), 107, "data"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_command_that_is_wrong_is_refused_with_its_code_and_its_id(place: Place, name: str) -> None:
    sent, code, field = REFUSED[name]
    await expect_error(place, sent, code, field)


async def test_a_token_that_is_none_ends_the_connection_with_3500(place: Place) -> None:
    async with healthy_neighbour(place), place.connect() as client:
        await tell(client, command("connect", token="a.b.c"))
        answer = await hear(client)
        assert (answer["code"], answer["id"]) == (101, 1)
        await client.wait_closed()
        assert client.close_code == 3500


async def test_a_handle_that_is_guessed_resumes_nothing(place: Place) -> None:
    async with healthy_neighbour(place), place.connect() as client:
        await tell(client, command("connect", resume="0" * 32))
        assert (await hear(client))["resumed"] is False


@pytest.mark.slow
async def test_ch_8_5_ten_thousand_subscriptions_end_at_128(place: Place) -> None:
    async with healthy_neighbour(place), place.connect() as client:
        answers = []
        for start in range(0, 10_000, 1_000):
            batch = [{"type": "subscribe", "id": n, "channel": f"many/{n}"} for n in range(start, start + 1_000)]
            await tell(client, batch)
            answers += [await hear(client) for _ in batch]
    assert [answer["id"] for answer in answers] == list(range(10_000))
    assert all(answer["type"] == "reply" for answer in answers[:128])
    refused = {(answer["code"], answer["detail"]["limit"], answer["detail"]["maximum"]) for answer in answers[128:]}
    assert refused == {(106, "channels_per_client", 128)}


@pytest.mark.parametrize("size", [65_537, 500_000, 1_048_000])
async def test_ch_2_9_a_large_frame_is_113_and_nothing_behind_it_is_lost(place: Place, size: int) -> None:
    async with healthy_neighbour(place), place.connect() as client:
        await tell(client, command("publish", channel="a", data="x" * size))
        await tell(client, ALIVE)
        answer = await hear(client)
        assert (answer["code"], answer["id"], answer["detail"]["limit"]) == (113, 1, 65_536)
        assert (await hear(client))["type"] == "pong"


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 200_000, "[" * 500_000 + "]" * 500_000])
async def test_ch_2_8_a_megabyte_of_brackets_is_an_error_soon(place: Place, text: str) -> None:
    async with healthy_neighbour(place), place.connect() as client:
        await client.send(text)
        async with asyncio.timeout(1):
            answer = await hear(client)
        assert answer["code"] in (107, 113)
        await tell(client, ALIVE)
        assert (await hear(client))["type"] == "pong"


@pytest.mark.slow
async def test_ch_2_1_a_megabyte_of_small_commands_is_answered_in_order(place: Place) -> None:
    async with healthy_neighbour(place), place.connect() as client:
        await tell(client, [{"type": "ping", "id": number} for number in range(20_000)])
        for number in range(20_000):
            assert (await hear(client))["id"] == number


async def test_ch_15_1_a_flood_is_111_and_the_connection_stays() -> None:
    # The strict half of the defaults: `--dev` lifts the rate.
    with served(auth__anonymous=True, server__dev=False, **OPEN) as strict:
        async with strict.connect() as client:
            for number in range(300):
                await tell(client, {"type": "ping", "id": number})
            answers = [await hear(client) for _ in range(300)]
            assert [answer["id"] for answer in answers] == list(range(300))
            refused = [answer for answer in answers if answer["type"] == "error"]
            assert {answer["code"] for answer in refused} == {111}
            assert all(answer["retry"] and answer["detail"]["retry_after_s"] > 0 for answer in refused)
            # The bucket fills while a slow machine sends.
            assert 1 <= len(refused) <= 100


async def test_cl_2_3_a_name_in_another_case_is_115_and_4509(place: Place) -> None:
    async with healthy_neighbour(place), place.connect("/") as ada, place.connect("/?lang=fr") as impostor:
        await tell(ada, {"type": "login", "content": "Zoé"})
        await hear(ada)
        await tell(impostor, {"type": "login", "content": "ZOÉ"})
        assert await hear(impostor) == {
            "type": "error",
            "content": "Ce nom d'utilisateur est déjà utilisé",
            "code": 115,
        }
        await impostor.wait_closed()
        assert impostor.close_code == 4509


async def test_cl_3_2_who_speaks_as_another_is_103_and_is_not_heard(place: Place) -> None:
    async with healthy_neighbour(place), place.connect("/") as eve:
        await tell(eve, {"type": "login", "content": "Ève"})
        while (await hear(eve))["type"] != "userlist":
            pass
        await tell(eve, {"type": "message", "content": "I am Ada", "username": "Ada"})
        assert (await hear(eve))["code"] == 103
        await tell(eve, {"type": "message", "content": "I am Ève"})
        said = await hear(eve)
        assert (said["content"], said["username"]) == ("I am Ève", "Ève")


async def test_cl_7_1_binary_before_the_login_is_116(place: Place) -> None:
    async with healthy_neighbour(place), place.connect("/") as client:
        await client.send(b"\x00" * 1_000)
        assert (await hear(client))["code"] == 116


async def test_cl_8_1_a_batch_of_ten_thousand_is_113(place: Place) -> None:
    async with healthy_neighbour(place), place.connect("/") as client:
        await tell(client, {"type": "batch", "messages": [json.dumps({"type": "ping"})] * 10_000})
        assert (await hear(client))["code"] == 113


async def test_random_text_is_107_a_thousand_times(place: Place) -> None:
    async with healthy_neighbour(place), place.connect() as client:
        for number in range(1_000):
            await client.send("\u2028é{" * (number % 7) + str(number))
        for _ in range(1_000):
            assert (await hear(client))["code"] == 107


async def test_clients_that_vanish_in_the_middle_of_everything_harm_nobody(place: Place) -> None:
    async with healthy_neighbour(place):
        for number in range(50):
            client = await place.connect()
            await tell(client, [command("connect", name=f"ghost {number}"), command("subscribe", channel="a")])
            client.transport.abort()
            await client.wait_closed()
        async with place.connect() as late:
            await tell(late, command("connect", name="ghost 0"))
            assert (await hear(late))["type"] == "reply"


async def test_an_invalid_handshake_of_the_library_is_an_error_there(place: Place) -> None:
    with pytest.raises(websockets.InvalidStatus):
        await place.connect("/ws", subprotocols=[websockets.Subprotocol("soap")])
