"""The documentation of the HTTP API: every request in it works, and its answer has the members that are shown."""

import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from chappe.api.routes import BATCH, COMMANDS
from chappe.hub.bridges import BridgeStatus
from tests.api.rig import Api

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "reference" / "http-api.md"
_EXCHANGE = re.compile(r"```http\n(\w+) (\S+)\n(.*?)```\n```json\n(.*?)```", re.DOTALL)


def exchanges() -> list[tuple[str, str, str, str]]:
    return _EXCHANGE.findall(REFERENCE.read_text(encoding="utf-8"))


def shape(value: Any) -> Any:
    """Return what there is of a value without what changes each time."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in ("totals", "errors")}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


class Bridge:
    """A bridge that does nothing but tell."""

    def status(self) -> BridgeStatus:
        counts = {"received": 12, "sent": 3}
        return BridgeStatus(name="maison", kind="mqtt", peer="mqtt://h:1883", state="connected", counts=counts)


async def test_every_request_of_the_reference_is_answered_as_shown() -> None:
    api = Api()
    api.hub.hooks.rpc["add"] = lambda session, a, b: a + b
    api.hub.bridges.append(Bridge())
    for method, path, body, answer in exchanges():
        response = await api.request(method, path, content=body.encode() or None)
        assert response.status_code == 200, (path, response.text)
        assert shape(response.json()) == shape(msgspec.json.decode(answer)), path


def test_every_command_is_in_the_reference() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    headings = " ".join(re.findall(r"^## (.*)$", text, re.MULTILINE))
    for command in (*COMMANDS, BATCH):
        assert re.search(rf"\b{command.name}\b", headings), command.name


async def test_the_error_of_the_reference_is_the_error_that_comes() -> None:
    shown = re.search(r'```json\n(\{\n  "type": "urn.*?)```', REFERENCE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    refused = await Api().refused("publish", {"data": 1})
    assert refused == msgspec.json.decode(shown[1])


def python_of(page: str) -> dict[str, Any]:
    """Run the Python block of a page and return its names."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.parametrize("page", ["how-to/publish-from-a-backend.md", "fr/how-to/publish-from-a-backend.md"])
def test_the_publisher_of_the_how_to_tries_again_where_that_helps(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = python_of(page)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answers: list[httpx.Response | httpx.ConnectError] = [
        httpx.Response(503, json={"code": 108, "retry": True}),
        httpx.ConnectError("refused"),
        httpx.Response(200, json={"offset": 1, "epoch": "e"}),
    ]
    sent: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(msgspec.json.decode(request.content))
        found = answers.pop(0)
        if isinstance(found, httpx.Response):
            return found
        raise found

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://hub.test") as client:
        assert names["publish"](client, "news", 1, "x") == {"offset": 1, "epoch": "e"}
        assert sent == [{"channel": "news", "data": 1, "id": "x"}] * 3
        answers.append(httpx.Response(403, json={"code": 103, "retry": False}))
        with pytest.raises(httpx.HTTPStatusError):
            names["publish"](client, "news", 1, "y")


@pytest.mark.parametrize("page", ["how-to/authentication.md", "fr/how-to/authentication.md"])
def test_the_token_of_the_how_to_is_accepted(page: str) -> None:
    import time

    from chappe.auth.jwt import JwtAuthenticator, JwtOptions

    secret = b"0123456789abcdef0123456789abcdef"
    token = python_of(page)["token_for"]("ada", secret)
    authenticator = JwtAuthenticator(JwtOptions(algorithms=("HS256",), hmac_secret=secret))
    claims = authenticator.verify(token, time.time())
    assert (claims.user, claims.subscribe, claims.publish) == ("ada", ("chat/#",), ("chat/+",))
