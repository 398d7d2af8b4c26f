"""What backends and operators do with sessions."""

from typing import Any

import pytest

from chappe.hub.contracts import Claims
from tests.api.rig import Api


async def test_a_session_is_disconnected() -> None:
    api = Api()
    ada, bob = api.world.client(name="Ada"), api.world.client(name="Bob")
    assert await api.post("disconnect", {"session": ada.session.id}) == {"disconnected": 1}
    assert ada.link.closed is not None
    assert ada.link.closed[0] == 3503
    assert bob.link.closed is None
    assert ("INFO", f"key shop disconnects session {ada.session.id} (Ada)") in api.world.log


async def test_all_sessions_of_a_user_are_disconnected() -> None:
    api = Api()
    sessions = [api.world.client(token="ada:") for _ in range(3)]
    other = api.world.client(token="bob:")
    assert await api.post("disconnect", {"user": "ada"}) == {"disconnected": 3}
    assert all(client.link.closed for client in sessions)
    assert other.link.closed is None
    assert await api.post("disconnect", {"user": "ada"}) == {"disconnected": 0}


async def test_an_unknown_session_is_told() -> None:
    refused = await Api().refused("disconnect", {"session": "nobody"})
    assert (refused["status"], refused["code"]) == (404, 117)


@pytest.mark.parametrize("command", ["disconnect", "subscribe", "unsubscribe"])
@pytest.mark.parametrize("whom", [{}, {"user": "a", "session": "b"}, {"user": ""}, {"session": 7}])
async def test_whom_must_be_clear(command: str, whom: dict[str, Any]) -> None:
    body = whom if command == "disconnect" else {"channel": "news"} | whom
    refused = await Api().refused(command, body)
    assert refused["code"] == 107
    assert refused["parameters"]["field"] in ("user", "session")


async def test_a_subscription_is_ended_and_its_client_told() -> None:
    api = Api()
    ada, other = api.world.client(token="ada:"), api.world.client(token="ada:")
    ada.ask("subscribe", channel="news")
    assert await api.post("unsubscribe", {"user": "ada", "channel": "news"}) == {"unsubscribed": 1}
    told = ada.received()[-1]
    assert (told["type"], told["channel"], told["code"]) == ("unsubscribed", "news", 2000)
    assert "unsubscribed" not in other.kinds()
    await api.post("publish", {"channel": "news", "data": 1})
    assert ada.data() == []


async def test_a_pattern_is_unsubscribed_by_its_name() -> None:
    api = Api()
    ada = api.world.client(name="Ada")
    ada.ask("subscribe", channel="news/#")
    answer = await api.post("unsubscribe", {"session": ada.session.id, "channel": "news/#"})
    assert answer == {"unsubscribed": 1}


async def test_a_subscription_made_by_a_backend_is_not_available_yet() -> None:
    refused = await Api().refused("subscribe", {"user": "ada", "channel": "news"})
    assert (refused["status"], refused["code"]) == (503, 108)


async def test_a_user_is_revoked_and_a_token_by_its_id() -> None:
    api = Api()
    ada = api.world.client(token="ada:")
    assert await api.post("revoke", {"user": "ada"}) == {"disconnected": 1}
    assert ada.link.closed is not None
    assert ada.link.closed[0] == 3503
    assert await api.post("revoke", {"token": "id of a token", "until": 4e9}) == {"disconnected": 0}
    assert api.world.hub.revocations.refuses(Claims(token_id="id of a token"), 3.9e9)
    assert "id of a token" not in str(api.world.log)


@pytest.mark.parametrize("whom", [{}, {"user": "a", "token": "b"}, {"token": ""}, {"token": "a", "until": -1}])
async def test_what_is_revoked_must_be_clear(whom: dict[str, Any]) -> None:
    assert (await Api().refused("revoke", whom))["code"] == 107
