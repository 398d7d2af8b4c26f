"""What a client says over each of its connections."""

import asyncio
import time
from typing import Any

import jwt
import pytest

from chappe.client import session as module
from chappe.client.client import connect
from chappe.client.errors import ConnectionLost, Unconfirmed
from chappe.model.errors import ChappeError
from tests.client.recorder import Recorder
from tests.client.scripted_hub import Peer, error, scripted_hub

QUICK: Any = {"reconnect_interval_ms": 5, "reconnect_max_ms": 20}


def token_for(seconds: float) -> str:
    return jwt.encode({"sub": "ada", "exp": time.time() + seconds}, "k" * 32, algorithm="HS256")


async def test_the_first_message_says_who_we_are() -> None:
    async with scripted_hub() as hub, connect(hub.url, token="t", name="Ada") as client:
        command = hub.commands[0]
        assert (command["type"], command["token"], command["name"]) == ("connect", "t", "Ada")
        assert command["client"]["name"] == "py"
        assert "resume" not in command
        assert client.info is not None
        assert (client.session, client.info.name, client.info.ping_s) == ("session-1", "Ada", 25.0)


async def test_a_new_connection_hands_in_the_handle_of_the_last() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client:
        events = Recorder(client)
        hub.cut()
        await events.wait("connected")
        assert hub.of_type("connect")[1]["resume"] == "handle-session-1"
        assert client.info is not None
        assert client.info.resumed


async def test_subscriptions_come_back_before_what_was_not_acknowledged() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client, client.subscribe("news") as news:
        hub.script["publish"] = lambda peer, command: True
        publishing = [asyncio.create_task(client.publish("news", number)) for number in range(3)]
        await hub.wait_for("publish", 3)
        del hub.script["publish"]
        hub.commands.clear()
        hub.cut()
        await asyncio.gather(*publishing)
        sent = [command["type"] for command in hub.commands]
        assert sent == ["connect", "subscribe", "publish", "publish", "publish"]
        assert [(await anext(news)).data for _ in range(3)] == [0, 1, 2], "our own come back to us, in order"


@pytest.mark.parametrize("options", [{}, {"name": "Ada"}])
async def test_what_was_sent_under_another_identity_is_not_sent_again(options: dict[str, Any]) -> None:
    # The hub remembers an idempotency key for a user, a name, or else a session.
    async with scripted_hub() as hub, connect(hub.url, **QUICK, **options) as client:
        hub.resumes = False
        hub.script["publish"] = lambda peer, command: True
        sent = asyncio.ensure_future(client.publish("news", "sent"))
        await hub.wait_for("publish")
        del hub.script["publish"]
        hub.cut()
        await Recorder(client).wait("disconnected")
        waiting = asyncio.ensure_future(client.publish("news", "waiting"))
        assert (await waiting).offset >= 1
        if options:
            assert (await sent).offset == 1
        else:
            with pytest.raises(Unconfirmed):
                await sent
            assert [command["data"] for command in hub.of_type("publish")] == ["sent", "waiting"]


async def test_a_name_in_use_is_raised_at_the_first_connection() -> None:
    async with scripted_hub() as hub:
        hub.script["connect"] = lambda peer, command: _send(peer, error(command, 115, "name in use"))
        with pytest.raises(ChappeError, match="name in use") as caught:
            await connect(hub.url, name="Ada")
        assert caught.value.code == 115


async def test_a_name_still_held_by_our_own_last_connection_is_tried_again() -> None:
    async with scripted_hub() as hub, connect(hub.url, name="Ada", **QUICK) as client:
        events = Recorder(client)
        refusals = iter([True, True, False])

        async def refuse_twice(peer: Peer, command: dict[str, Any]) -> bool:
            if next(refusals):
                await peer.send(error(command, 115, "name in use"))
                return True
            return False

        hub.script["connect"] = refuse_twice
        hub.cut()
        await events.wait("connected")
        assert len(events.of("reconnecting")) == 3


async def test_a_session_refused_for_good_is_not_tried_again() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client:
        hub.script["connect"] = lambda peer, command: _send(peer, error(command, 101, "unauthorized"))
        hub.cut()
        await client.wait_closed()
        assert client.error is not None
        assert client.error.code == 101
        assert len(hub.of_type("connect")) == 2


async def test_each_connection_gets_a_token_of_its_own() -> None:
    numbers = iter(range(100))

    async def get_token() -> str:
        return f"token {next(numbers)}"

    async with scripted_hub() as hub, connect(hub.url, token=get_token, **QUICK) as client:
        events = Recorder(client)
        hub.script["connect"] = lambda peer, command: (
            _send(peer, error(command, 109, "token expired")) if command["token"] == "token 1" else False
        )
        hub.cut()
        await events.wait("connected")
        assert [command["token"] for command in hub.of_type("connect")] == ["token 0", "token 1", "token 2"]


async def test_a_token_function_that_fails_counts_as_a_failed_attempt() -> None:
    failing = False

    def get_token() -> str:
        if failing:
            raise OSError("the token server is away")
        return "t"

    async with scripted_hub() as hub, connect(hub.url, token=get_token, **QUICK) as client:
        events = Recorder(client)
        failing = True
        hub.cut()
        assert "token server is away" in str((await events.wait("error"))[0])
        failing = False
        await events.wait("connected")


async def test_a_token_is_replaced_before_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "refresh_delay_s", lambda expires, now: 0.01)
    tokens = [token_for(100), token_for(200), "opaque"]
    given = iter(tokens)
    async with scripted_hub() as hub, connect(hub.url, token=lambda: next(given)):
        assert [command["token"] for command in await hub.wait_for("refresh", 2)] == tokens[1:]


async def test_who_has_no_newer_token_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "refresh_delay_s", lambda expires, now: 0.01)
    first, newer = token_for(100), token_for(200)
    given = iter([first, first, "", newer, "opaque"])

    def get_token() -> str:
        token = next(given)
        if not token:
            raise OSError("the token server is away")
        return token

    async with scripted_hub() as hub, connect(hub.url, token=get_token) as client:
        events = Recorder(client)
        assert [command["token"] for command in await hub.wait_for("refresh", 2)] == [newer, "opaque"]
        assert "the token server is away" in str(events.of("error"))
        assert events.names("latency") == ["error"]


async def test_a_token_that_takes_too_long_is_a_failed_attempt() -> None:
    async with scripted_hub() as hub:
        with pytest.raises(ConnectionLost, match=r"no token was given within 0\.05 s"):
            await connect(hub.url, token=asyncio.Event().wait, open_timeout_s=0.05)  # type: ignore[arg-type]
        assert not hub.commands


async def test_a_refused_refresh_is_told_and_the_connection_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "refresh_delay_s", lambda expires, now: 0.01)
    given = iter([token_for(100), token_for(200)])
    async with scripted_hub() as hub:
        hub.script["refresh"] = lambda peer, command: _send(peer, error(command, 101, "revoked"))
        async with connect(hub.url, token=lambda: next(given)) as client:
            assert "revoked" in str((await Recorder(client).wait("error"))[0])
            assert client.state == "live"


async def test_a_token_handed_over_by_hand_is_used_from_then_on() -> None:
    async with scripted_hub() as hub, connect(hub.url, token="old", **QUICK) as client:
        events = Recorder(client)
        await client.refresh("new")
        hub.cut()
        await events.wait("connected")
        assert hub.of_type("refresh")[0]["token"] == "new"
        assert hub.of_type("connect")[1]["token"] == "new"


async def test_what_the_application_says_to_us_alone_is_a_message() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        events = Recorder(client)
        await hub.peers[0].send({"type": "message", "data": {"only": "you"}})
        assert await events.wait("message") == ({"only": "you"},)


async def test_an_error_that_answers_nothing_is_an_event() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        events = Recorder(client)
        await hub.peers[0].send({"type": "error", "code": 107, "reason": "no json"})
        (told,) = await events.wait("error")
        assert told.code == 107


async def test_words_of_a_later_hub_and_of_channels_we_left_are_passed_over() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        for kind in ("publication", "join", "leave", "presence", "unsubscribed", "missed", "weather"):
            member = {"session": "s"}
            await hub.peers[0].send(
                {"type": kind, "channel": "gone", "data": 1, "member": member, "code": 2000, "count": 1}
            )
        assert await client.ping() > 0


async def test_a_frame_that_cannot_be_read_costs_a_reconnect_and_no_publication() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client, client.subscribe("news") as news:
        events = Recorder(client)
        await hub.publish("news", 1)
        channel = hub.channel("news")
        channel.offset += 1
        channel.history.append({"channel": "news", "data": 2, "offset": 2, "epoch": "e1"})
        await hub.peers[0].socket.send('{"type":"publication","channel":"news","data":2,"offset":"two"}')
        await events.wait("resubscribed")
        assert [(await anext(news)).data for _ in range(2)] == [1, 2]


async def test_a_server_that_chooses_another_protocol_is_refused() -> None:
    async with scripted_hub() as hub:
        client = connect(hub.url)
        object.__setattr__(client._session._settings, "subprotocols", ("classic",))
        with pytest.raises(ConnectionLost, match=r"speaks classic, expected chappe\.v1") as caught:
            await client
        assert caught.value.final


async def _send(peer: Peer, message: dict[str, Any]) -> bool:
    await peer.send(message)
    return True
