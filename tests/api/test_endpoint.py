"""The HTTP side of every command: methods, languages, sizes, and nothing that is not a problem."""

from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.api.routes import BATCH, COMMANDS
from chappe.model.publication import Kind
from tests.api.rig import KEY, Api, AsgiBody, problem

NAMES = sorted(command.name for command in (*COMMANDS, BATCH))
READING = [command.name for command in COMMANDS if command.reads]

HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"channel=a&data=1",
    "half an object": b'{"channel":"a"',
    "two objects": b'{"channel":"a"}{"channel":"a"}',
    "an array": b"[]",
    "null": b"null",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "bad UTF-8": b'{"channel":"\xff\xfe","data":1,"method":"a","user":"b","channels":["\xff"]}',
    "a lone surrogate": b'{"channel":"\\udc00","data":1,"method":"\\udc00"}',
    "a NUL": b"\x00",
    "deep arrays": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b',"channel":"a"}',
    "deep objects": b'{"params":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b',"method":"a"}',
    "a large number": b'{"limit":' + b"9" * 10_000 + b"}",
    "an unknown member": b'{"__proto__":{"admin":true}}',
    "a body over the cap": b'{"channel":"a","data":"' + b"x" * 1_048_576 + b'"}',
    "msgpack": b"\x82\xa7channel\xa1a\xa4data\x01",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_bodies_get_a_coded_error(name: str, what: str) -> None:
    api = Api()
    response = await api.request("POST", f"/api/{name}", content=HOSTILE[what])
    if what == "nothing" and name in (*READING, "batch") and response.status_code == 200:
        return
    refused = problem(response)
    assert refused["code"] in (107, 113), refused
    assert refused["status"] in (400, 413)
    assert len(refused["detail"]) < 400
    assert api.world.errors == []
    await api.post("publish", {"channel": "news", "data": "still well"})


@pytest.mark.parametrize("name", NAMES)
async def test_control_characters_in_a_channel_go_nowhere(name: str) -> None:
    api = Api()
    for channel in ("a\u0000b", "a\nb", "a\u0085b", "\u007f"):
        body = {"channel": channel, "data": 1, "user": "u"}
        response = await api.request("POST", f"/api/{name}", body=body)
        assert response.status_code in (400, 503)
        assert "\n" not in response.text


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    (
        *("channel", "channels", "data", "id", "headers", "expect", "retain", "limit", "since", "reverse", "pattern"),
        *("after", "user", "session", "method", "params", "commands", "type", "x"),
    )
)


@given(st.sampled_from(NAMES), st.dictionaries(MEMBERS, JSON_VALUES, max_size=4))
async def test_any_request_is_answered_or_gets_a_coded_error(name: str, body: dict[str, Any]) -> None:
    api = Api()
    response = await api.request("POST", f"/api/{name}", body=body)
    if response.status_code != 200:
        assert problem(response)["code"] in (103, 104, 107, 108, 112, 113, 114, 117)
    assert api.world.errors == []


@given(st.sampled_from(READING), st.dictionaries(MEMBERS, st.text(max_size=5), max_size=3))
async def test_any_query_is_answered_or_gets_a_coded_error(name: str, query: dict[str, str]) -> None:
    api = Api()
    response = await api.request("GET", f"/api/{name}?{httpx.QueryParams(query)}")
    if response.status_code != 200:
        assert problem(response)["code"] in (107, 108)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"])
async def test_other_methods_are_told_which_are_right(name: str, method: str) -> None:
    response = await Api().request(method, f"/api/{name}")
    if name in READING and method in ("GET", "HEAD"):
        assert response.status_code in (200, 400)
        return
    if (name, method) == ("tickets", "OPTIONS"):
        # A preflight: pages of other sites may ask for one.
        assert response.status_code == 204
        return
    assert response.status_code == 405
    assert response.headers["allow"].startswith("POST")


@pytest.mark.parametrize("path", ["/api/nope", "/api/", "/api/publish/more", "/api/../api/none"])
async def test_what_is_no_command_is_told_which_there_are(path: str) -> None:
    refused = problem(await Api().request("POST", path, body={}))
    assert (refused["status"], refused["code"]) == (404, 104)
    assert "publish" in refused["detail"]


@pytest.mark.parametrize(
    ("path", "headers", "language"),
    [
        ("", {}, "en"),
        ("?lang=fr", {}, "fr"),
        ("", {"Accept-Language": "fr-CH, en;q=0.5"}, "fr"),
        ("?lang=en", {"Accept-Language": "fr"}, "en"),
        ("?lang=xx", {"Accept-Language": "de"}, "en"),
    ],
)
async def test_errors_speak_the_language_asked_for(path: str, headers: dict[str, str], language: str) -> None:
    response = await Api().request("POST", f"/api/publish{path}", body={}, headers=headers, credential="ada:")
    assert response.headers["content-language"] == language
    denied = await Api().request("POST", f"/api/info{path}", body={}, headers=headers, credential="ada:")
    assert denied.json()["detail"] == {"en": "permission denied", "fr": "Permission refusée"}[language]


async def test_the_default_language_is_the_hubs() -> None:
    refused = problem(await Api(language="fr").request("POST", "/api/info", body={}, credential="ada:"))
    assert refused["detail"] == "Permission refusée"


async def test_errors_are_counted_by_code() -> None:
    api = Api()
    await api.refused("publish", {})
    await api.refused("disconnect", {"session": "x"})
    assert api.hub.counters.errors == {107: 1, 117: 1}


async def test_a_fault_of_ours_is_logged_and_told_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()

    def broken(*arguments: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(api.hub, "publish", broken)
    refused = await api.refused("publish", {"channel": "a", "data": 1})
    assert (refused["status"], refused["code"]) == (500, 100)
    assert "secret" not in str(refused)
    assert api.world.errors.pop() == "a request to /api/publish failed: RuntimeError: secret"


async def test_a_client_that_leaves_is_no_error() -> None:
    api = Api()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/publish",
        "query_string": b"",
        "headers": [(b"host", b"hub.test"), (b"authorization", f"Bearer {KEY}".encode())],
    }

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there")

    await api.app(scope, AsgiBody(b'{"chan', gone=True), send)
    assert api.hub.counters.errors == {}


async def test_answers_are_kept_by_nobody() -> None:
    response = await Api().request("POST", "/api/info", body={})
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_raw_payloads_of_other_protocols_are_shown_as_json() -> None:
    api = Api()
    for payload, kind in ((b"\x00\xff", Kind.BINARY), (b"plain", Kind.TEXT), (b'{"a":1}', Kind.TEXT)):
        client = api.world.client("raw")
        client.send_raw(payload, kind is Kind.TEXT)
    api.world.settle()
    assert msgspec.json.decode((await api.request("GET", "/api/channels")).content)["total"] == 1
