"""The gate: whose requests are answered at all."""

from typing import Any

import pytest

from chappe.api.gate import GateMiddleware
from chappe.transports.upgrade import Gate
from tests.api.rig import HOST, Api, AsgiBody, problem

PUBLISH = {"channel": "news", "data": 1}


OTHERS = ["evil.test", "hub.test.evil.test", "xhub.test", "127.0.0.1", "[::1]", "hub.test@evil"]


@pytest.mark.parametrize("host", OTHERS)
@pytest.mark.parametrize("path", ["/healthz", "/api/info", "/", "/openapi.json"])
async def test_another_host_is_not_served(host: str, path: str) -> None:
    response = await Api().request("GET", path, headers={"Host": host})
    assert problem(response)["status"] == 421


@pytest.mark.parametrize("host", [HOST, "HUB.test", f"{HOST}:8080"])
async def test_the_port_and_the_case_of_a_host_do_not_matter(host: str) -> None:
    assert (await Api().request("GET", "/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://hub.test.evil.test", "http://hub.test:81", ""])
async def test_a_page_of_another_site_changes_nothing(origin: str) -> None:
    api = Api()
    response = await api.request("POST", "/api/publish", body=PUBLISH, headers={"Origin": origin})
    refused = problem(response)
    assert (refused["status"], refused["code"]) == (403, 103)
    assert api.hub.counters.published == 0


async def test_the_hubs_own_page_and_programs_may() -> None:
    api = Api()
    for headers in ({}, {"Origin": f"http://{HOST}"}):
        response = await api.request("POST", "/api/publish", body=PUBLISH, headers=headers)
        assert response.status_code == 200


async def test_a_page_of_another_site_may_ask_but_is_given_no_leave_to_read() -> None:
    response = await Api().request("GET", "/version", headers={"Origin": "https://evil.test"})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


async def test_listed_origins_are_exact() -> None:
    api = Api()
    api.app._gate = Gate(hosts=frozenset({HOST}), origins=frozenset({"https://app.test"}))
    for origin, status in (("https://app.test", 200), ("https://app.test:444", 403), (f"http://{HOST}", 403)):
        response = await api.request("POST", "/api/publish", body=PUBLISH, headers={"Origin": origin})
        assert response.status_code == status


async def test_a_refusal_speaks_the_readers_language() -> None:
    response = await Api().request("GET", "/version", headers={"Host": "x", "Accept-Language": "fr"})
    assert response.headers["content-language"] == "fr"


async def test_what_is_no_http_passes() -> None:
    passed: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    gated = GateMiddleware(app, Gate(hosts=frozenset({HOST})))
    for kind in ("websocket", "lifespan"):
        await gated({"type": kind}, AsgiBody(), _nowhere)
    assert passed == ["websocket", "lifespan"]


async def test_a_request_without_a_host_is_refused() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    scope = {"type": "http", "method": "GET", "path": "/healthz", "query_string": b"", "headers": []}
    await Api().app(scope, receive, send)
    assert sent[0]["status"] == 400


async def _nowhere(message: Any) -> None:
    raise AssertionError("nothing is sent")
