"""`POST /api/tickets`: for whom, for how long, and for which pages."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from chappe.hub.contracts import Claims
from tests.api.rig import HOST, Api, problem


async def test_a_backend_vouches_for_a_user_for_as_long_as_it_says() -> None:
    api = Api()
    answer = await api.post("tickets", {"user": "ada", "session_s": 90})
    told: list[Claims | None] = []
    api.hub.authentication.verify(answer["ticket"], lambda claims, error: told.append(claims))
    now = api.world.clock.wall_ms() / 1_000
    assert told == [Claims(user="ada", expires_at=now + 90, issued_at=now)]
    assert answer["expires"].endswith("Z")


@pytest.mark.parametrize("credential", ["ada:", "ada:operator", "ada:service:x"])
async def test_only_who_may_publish_for_others_may_vouch_for_them(credential: str) -> None:
    assert (await Api().refused("tickets", {"user": "eve"}, credential))["code"] == 103


async def test_a_ticket_for_the_bearer_of_a_token_has_what_the_token_has() -> None:
    api = Api()
    answer = await api.post("tickets", {"token": "bob:operator"})
    told: list[Claims | None] = []
    api.hub.authentication.verify(answer["ticket"], lambda claims, error: told.append(claims))
    assert told[0] is not None
    of_the_token = Claims(user="bob", scopes=frozenset({"operator"}), subscribe=("#",), publish=("#",))
    assert msgspec.structs.replace(told[0], issued_at=None) == of_the_token
    assert (await api.refused("tickets", {"token": "rubbish"}))["code"] == 101
    assert (await api.refused("tickets", {"token": "expired"}))["code"] == 109


@pytest.mark.parametrize("user", ["", "a/b", "#", "a+b", "x" * 256, "a\n"])
async def test_a_name_that_can_be_no_users_is_refused(user: str) -> None:
    assert (await Api().refused("tickets", {"user": user}))["code"] == 107


async def test_a_batch_gives_tickets_out_too() -> None:
    commands = [{"type": "tickets", "user": "ada"}, {"type": "tickets", "token": "rubbish"}]
    first, second = (await Api().post("batch", {"commands": commands}))["results"]
    assert first["result"]["ticket"].startswith("chappe-ticket-")
    assert second["error"]["code"] == 101


async def test_what_never_ends_is_not_for_a_url() -> None:
    assert (await Api().refused("tickets", {}))["code"] == 107


async def test_refusals_are_audited_and_neither_tickets_nor_the_tokens_they_are_asked_for_with() -> None:
    api = Api()
    audited: list[dict[str, Any]] = []

    def note(event: str, members: Mapping[str, Any]) -> None:
        audited.append({"event": event, **members})

    api.hub.audit = note
    await api.post("tickets", {"user": "ada"})
    await api.post("tickets", {"token": "bob:operator"})
    assert audited == []
    await api.refused("tickets", {"user": "eve"}, "ada:")
    await api.refused("tickets", {"token": "rubbish"})
    assert [(each["event"], each["code"], each["by"], each["user"]) for each in audited] == [
        ("refused", 103, "token of ada", "eve"),
        ("refused", 101, "key shop", None),
    ]
    assert "rubbish" not in json.dumps(audited)


async def test_a_page_of_a_site_that_may_connect_may_read_its_ticket() -> None:
    api = Api()
    origin = f"http://{HOST}"
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    preflight = await api.request("OPTIONS", "/api/tickets", credential=None, headers=headers)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "Authorization, Chappe-CSRF, Content-Type"
    given = await api.request("POST", "/api/tickets", body={"user": "ada"}, headers={"Origin": origin})
    assert given.headers["access-control-allow-origin"] == origin
    refused = await api.request("POST", "/api/tickets", body={}, headers={"Origin": "http://evil.example"})
    assert problem(refused)["status"] == 403
    assert "access-control-allow-origin" not in refused.headers
