"""Who calls: keys, tokens, nobody; and no more right than the credential has."""

from typing import Any

import pytest

from chappe.api.credentials import Caller
from chappe.hub.contracts import Claims
from tests.api.rig import KEY, Api, Tokens, problem
from tests.hub.harness import World

#: What each command asks for, by a request that the hub accepts.
BACKEND: dict[str, object] = {
    "publish": {"channel": "news", "data": 1},
    "broadcast": {"channels": ["news"], "data": 1},
    "history": {"channel": "news"},
    "presence": {"channel": "news"},
    "unsubscribe": {"user": "ada", "channel": "news"},
}
OPERATOR: dict[str, object] = {"connections": {}, "disconnect": {"user": "ada"}}
EITHER: dict[str, object] = {"channels": {}, "locks": {}, "info": {}, "batch": {"commands": []}}


@pytest.mark.parametrize(
    ("credential", "allowed"),
    [
        (KEY, {**BACKEND, **OPERATOR, **EITHER}),
        ("ada:api,operator", {**BACKEND, **OPERATOR, **EITHER}),
        ("ada:api", {**BACKEND, **EITHER}),
        (":api", {**BACKEND, **EITHER}),
        ("ada:operator", {**OPERATOR, **EITHER}),
        # A user's own rights to channels are for the user's connections, not for the API.
        ("ada:", {}),
        ("ada:service:billing", {}),
    ],
)
async def test_a_credential_opens_what_its_scopes_say_and_nothing_else(
    credential: str, allowed: dict[str, object]
) -> None:
    api = Api()
    for command, body in {**BACKEND, **OPERATOR, **EITHER}.items():
        response = await api.request("POST", f"/api/{command}", body=body, credential=credential)
        if command in allowed:
            results = response.json().get("results", [])
            assert response.status_code == 200, (command, response.text)
            assert not [each for each in results if "error" in each]
        elif command == "broadcast":
            assert [each["error"]["code"] for each in response.json()["results"]] == [103]
        else:
            assert problem(response)["code"] == 103, command


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", f"bearer {KEY}x", KEY, "Bearer nobody", b"Bearer \xff"]
)
async def test_without_a_credential_there_is_nothing(header: Any) -> None:
    api = Api()
    for path in ("/api/publish", "/api/info", "/api/batch"):
        headers = {} if header is None else {"Authorization": header}
        response = await api.request("POST", path, content=b"not even json", credential=None, headers=headers)
        refused = problem(response)
        assert (refused["status"], refused["code"]) == (401, 101)
        assert response.headers["www-authenticate"] == "Bearer"
    assert api.hub.counters.unauthorized == 3


async def test_an_expired_token_is_told_as_such() -> None:
    refused = await Api().refused("info", {}, "expired")
    assert (refused["status"], refused["code"]) == (401, 109)


async def test_a_hub_without_tokens_takes_keys_only() -> None:
    api = Api(World())
    await api.post("info", {})
    assert (await api.refused("info", {}, "ada:api"))["code"] == 101


async def test_an_open_api_asks_nobody() -> None:
    api = Api(World(anonymous=False), api_open=True)
    for credential in (None, "whatever", KEY):
        response = await api.request("POST", "/api/publish", body=BACKEND["publish"], credential=credential)
        assert response.status_code == 200
    assert (await api.request("GET", "/api/connections", credential=None)).status_code == 200


async def test_two_authorization_headers_are_refused() -> None:
    api = Api()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/info",
        "query_string": b"",
        "headers": [(b"host", b"hub.test"), (b"authorization", b"Bearer x"), (b"authorization", b"Bearer y")],
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    await api.app(scope, receive, send)
    assert sent[0]["status"] == 400


def test_an_actor_has_the_scopes_that_a_route_accepts_and_no_other() -> None:
    caller = Caller(Claims(user="ada", scopes=frozenset({"api", "operator"})), "x")
    assert caller.actor(frozenset({"api"})).claims.scopes == {"api"}
    assert caller.actor(frozenset({"api"})) is caller.actor(frozenset({"api"}))


def test_the_authenticator_of_the_rig_is_one() -> None:
    assert Tokens().authenticate("ada:api", 0.0).user == "ada"
