"""Endpoints for pages of other origins (CORS of each: test_events.py, test_polling.py)."""

from __future__ import annotations

from chappe.transports.upgrade import Gate
from tests.api.poll_client import client, problem
from tests.transports.sse_harness import served

PAGE = "https://app.example"


async def test_a_page_may_read_errors_too_and_others_may_not() -> None:
    async with served(gate=Gate(origins=frozenset({PAGE}))) as server, client(server) as http:
        for path in ("/poll?session=x", "/events?session=x", "/events?channel=closed"):
            answer = await http.get(path, headers={"Origin": PAGE})
            assert problem(answer)[0] in (403, 404)
            assert answer.headers["access-control-allow-origin"] == PAGE
            refused = await http.get(path, headers={"Origin": "null"})
            assert problem(refused) == (403, 103)
            assert "access-control-allow-origin" not in refused.headers


async def test_a_preflight_names_the_methods_of_its_endpoint() -> None:
    async with served(gate=Gate(origins=frozenset({PAGE}))) as server, client(server) as http:
        for path, methods in (("/poll", "GET, DELETE"), ("/send", "POST"), ("/events", "GET, HEAD")):
            answer = await http.options(path, headers={"Origin": PAGE})
            assert answer.headers["access-control-allow-methods"] == methods
            assert "Chappe-Session" in answer.headers["access-control-allow-headers"]
