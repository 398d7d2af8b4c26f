"""Which web pages reach a hub: one rule for WebSocket, streams and polls, none for the API; headers of its pages."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets

from tests.hostile.neighbourhood import Place, healthy_neighbour, served

GOOD = "https://app.example"
PATHS = ("/events?channel=a", "/poll")


@pytest.fixture(scope="module")
def own() -> Iterator[Place]:
    """Serve a hub without a list: its own host only."""
    with served() as place:
        yield place


@pytest.fixture(scope="module")
def listed() -> Iterator[Place]:
    """Serve a hub with a list."""
    with served(server__allowed_origins=(GOOD, "https://*.wild.example")) as place:
        yield place


async def statuses(place: Place, origin: str | None) -> dict[str, Any]:
    """Return how each way in answers a page (None: a program), and whether the page may read the answer."""
    found: dict[str, Any] = {}
    try:
        async with place.connect(origin=origin):
            found["websocket"] = 101
    except websockets.InvalidStatus as refused:
        found["websocket"] = refused.response.status_code
    headers = {"Origin": origin} if origin is not None else {}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{place.port}", headers=headers) as http:
        for path in PATHS:
            async with http.stream("GET", path) as answer:
                found[path] = answer.status_code
                readable = answer.headers.get("access-control-allow-origin")
                assert readable == (origin if answer.status_code == 200 else None)
        found["/send"] = (await http.post("/send?session=unknown", json={})).status_code
    return found


ALLOWED = {"websocket": 101, **dict.fromkeys(PATHS, 200), "/send": 404}
REFUSED = {"websocket": 403, **dict.fromkeys(PATHS, 403), "/send": 403}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        (GOOD, True),
        ("https://app.example:8443", False),
        ("http://app.example", False),
        ("https://app.example.evil.example", False),
        ("https://evil.app.example", False),
        ("https://APP.example", False),
        ("https://a.wild.example", False),
        ("null", False),
        ("", False),
        ("https://app.example, https://evil.example", False),
        ("http://127.0.0.1:PORT", False),
    ],
)
async def test_a_list_is_exact_on_every_way_in(listed: Place, origin: str | None, allowed: bool) -> None:
    origin = origin and origin.replace("PORT", str(listed.port))
    async with healthy_neighbour(listed):
        assert await statuses(listed, origin) == (ALLOWED if allowed else REFUSED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:PORT", True),
        ("http://127.0.0.1:1", False),
        ("http://localhost:PORT", False),
        ("http://127.0.0.1", False),
        ("null", False),
        (GOOD, False),
        ("http://127.0.0.1:PORT/path", False),
        ("http://user@127.0.0.1:PORT", False),
        ("javascript://127.0.0.1:PORT", False),
    ],
)
async def test_without_a_list_only_pages_of_the_hub_itself_connect(
    own: Place, origin: str | None, allowed: bool
) -> None:
    origin = origin and origin.replace("PORT", str(own.port))
    async with healthy_neighbour(own):
        assert await statuses(own, origin) == (ALLOWED if allowed else REFUSED)


@pytest.mark.slow
@pytest.mark.parametrize("origin", [GOOD, "https://evil.example"])
async def test_no_page_reads_or_calls_the_api(listed: Place, origin: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listed.port}", headers={"Origin": origin}) as http:
        for path in ("/api/info", "/metrics", "/version", "/healthz", "/openapi.json"):
            answer = await http.get(path)
            assert not [name for name in answer.headers if name.startswith("access-control")], path
        preflight = await http.options("/api/publish", headers={"Access-Control-Request-Method": "POST"})
        assert not [name for name in preflight.headers if name.startswith("access-control")]
        written = await http.post("/api/publish", json={"channel": "a", "data": 1})
        assert written.status_code == (200 if origin == GOOD else 403)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/apps/chat", "/nothing.js"])
async def test_pages_run_no_foreign_or_inline_script_and_are_framed_by_nobody(own: Place, path: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{own.port}") as http:
        answer = await http.get(path)
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "<script>" not in answer.text


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/api/info", "/api/nothing", "/poll", "/version", "/healthz", "/openapi.json"])
async def test_answers_for_programs_are_never_taken_for_pages(own: Place, path: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{own.port}") as http:
        answer = await http.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "json" in answer.headers["content-type"]
