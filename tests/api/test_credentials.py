"""Who calls: keys, tokens, nobody; and no more right than the credential has."""

from typing import Any

import pytest

from chappe.api.credentials import Caller
from chappe.hub.contracts import Claims
from chappe.transports.credentials import CredentialReader
from chappe.transports.peer_certificate import EXTENSION, PeerCertificate
from tests.api.rig import KEY, Api, Tokens, problem
from tests.hub.harness import Tokens as ByHeart
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


def scope_of(token: str, *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    """Return the scope of a POST that publishes."""
    own = [(b"host", b"hub.test"), *([(b"authorization", b"Bearer " + token.encode())] if token else [])]
    return {
        "type": "http",
        "method": "POST",
        "path": "/api/publish",
        "query_string": b"",
        "headers": [*own, *headers],
        "client": ("10.0.0.1", 1),
        **more,
    }


async def answer_to(api: Api, scope: dict[str, Any], meanwhile: Any = None) -> int:
    """Return the status of the answer to a request; something happens while its body is on its way."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        if meanwhile is not None:
            meanwhile()
        return {"type": "http.request", "body": b'{"channel":"news","data":1}', "more_body": False}

    await api.app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


def revoke(api: Api) -> None:
    """Refuse the token of the test below from here on."""
    api.hub.revoke_here(None, None, "1", api.world.clock.wall_ms() / 1_000 + 60)


@pytest.mark.parametrize(("meanwhile", "code"), [(revoke, 101), (lambda api: api.world.clock.advance(60), 109)])
async def test_who_is_revoked_or_expires_while_the_body_comes_publishes_nothing(meanwhile: Any, code: int) -> None:
    now = World().clock.wall_ms() / 1_000
    known = Claims(user="ada", scopes=frozenset({"api"}), token_id="1", expires_at=now + 60)
    api = Api(World(authenticator=ByHeart(good=known)))
    audited: list[Any] = []
    api.hub.audit = lambda event, told: audited.append((event, told.get("code")))
    assert await answer_to(api, scope_of("good"), lambda: meanwhile(api)) == 401
    assert (await api.post("history", {"channel": "news"}))["publications"] == []
    assert audited == [("refused", code)]
    assert api.hub.counters.errors == {code: 1}


async def test_behind_a_proxy_the_audit_has_the_clients_address() -> None:
    api = Api(proxies=("10.0.0.0/8",))
    audited: list[Any] = []
    api.hub.audit = lambda event, told: audited.append(told["address"])
    for forwarded in (b"203.0.113.9", b"10.0.0.7"):
        assert await answer_to(api, scope_of("nobody", (b"x-forwarded-for", forwarded))) == 401
    assert audited == ["203.0.113.9", "10.0.0.7"]


async def test_behind_a_proxy_nobody_has_the_proxys_certificate() -> None:
    shown = PeerCertificate(
        subject=(("commonName", "proxy"),), names=(), serial="1", issuer=(), issued_at=0.0, expires_at=2e10
    )
    extensions = {EXTENSION: shown}
    reader = CredentialReader(certificate_user="cn")
    for proxies, status in (((), 403), (("10.0.0.0/8",), 401)):
        api = Api(proxies=proxies, reader=reader)
        assert await answer_to(api, scope_of("", extensions=extensions)) == status


def test_an_actor_has_the_scopes_that_a_route_accepts_and_no_other() -> None:
    caller = Caller(Claims(user="ada", scopes=frozenset({"api", "operator"})), "x")
    assert caller.actor(frozenset({"api"})).claims.scopes == {"api"}
    assert caller.actor(frozenset({"api"})) is caller.actor(frozenset({"api"}))


def test_the_authenticator_of_the_rig_is_one() -> None:
    assert Tokens().authenticate("ada:api", 0.0).user == "ada"
