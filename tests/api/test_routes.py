"""Every route: none reaches the broker, a session or a lock without asking for the right first."""

from typing import Any

import pytest
from starlette.routing import Route

from chappe.api.probe import CHANNEL as PROBE
from chappe.api.routes import BATCH, COMMANDS
from chappe.hub.contracts import Broker
from chappe.model.errors import ChappeError
from tests.api.rig import Api, Tokens
from tests.hub.harness import World

#: A request that every command accepts, so that it goes as far as it can.
BODIES: dict[str, Any] = {
    "publish": {"channel": "closed/a", "data": 1},
    "broadcast": {"channels": ["closed/a", "closed/b"], "data": 1},
    "history": {"channel": "closed/a"},
    "presence": {"channel": "closed/a"},
    "channels": {},
    "connections": {},
    "locks": {},
    "info": {},
    "bridges": {},
    "disconnect": {"user": "ada"},
    "revoke": {"user": "ada"},
    "subscribe": {"user": "ada", "channel": "closed/a"},
    "unsubscribe": {"user": "ada", "channel": "closed/a"},
    "rpc": {"method": "add", "params": [1, 2]},
    "tickets": {"user": "ada"},
    "batch": {"commands": [{"type": "publish", "channel": "closed/a", "data": 1}, {"type": "info"}]},
}
#: What is open to anybody, and why.
OPEN = {
    "/healthz": "touches nothing",
    "/readyz": "asks the broker in the hub's own name, at most once a second",
    "/version": "touches nothing",
    "/openapi.json": "the same for every hub",
    "/api/{rest:path}": "touches nothing",
}


class Spy:
    """Lets through to a broker what was authorized; remembers what was not."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.authorized: set[tuple[str, str]] = set()
        self.touched: list[tuple[str, str]] = []
        self.unasked: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def append(self, batch: Any, done: Any) -> None:
        for entry in batch:
            self._touch("publish", entry.channel)
        self._broker.append(batch, done)

    def read(self, request: Any, done: Any) -> None:
        self._touch("history", request.channel)
        self._broker.read(request, done)

    def read_log(self, request: Any, done: Any) -> None:
        self._touch("history", request.pattern)
        self._broker.read_log(request, done)

    def _touch(self, action: str, channel: str) -> None:
        self.touched.append((action, channel))
        # The hub's own channel is refused to everybody; the probe asks whether it may look.
        if channel == PROBE and ("inspect", channel) in self.authorized:
            return
        if (action, channel) not in self.authorized:
            self.unasked.append((action, channel))


def spied(monkeypatch: pytest.MonkeyPatch, refusals: list[int]) -> tuple[Api, Spy, list[str]]:
    """Return a hub whose permissions and broker are watched, and refuse with the first of `refusals`, if any."""
    world = World(wrap=lambda broker: Spy(broker), authenticator=Tokens())
    spy: Any = world.broker
    asked: list[str] = []
    authorize = world.hub.permissions.authorize

    def watching(actor: Any, action: Any, channel: str) -> None:
        asked.append(action.value)
        if refusals:
            raise ChappeError(refusals[0])
        authorize(actor, action, channel)
        spy.authorized.add((action.value, channel))

    monkeypatch.setattr(world.hub.permissions, "authorize", watching)
    api = Api(world)
    api.hub.hooks.rpc["add"] = lambda session, a, b: a + b
    return api, spy, asked


def routes() -> list[str]:
    return [route.path for route in Api().routes if isinstance(route, Route)]


def request_of(path: str) -> tuple[str, Any]:
    if path.startswith("/api/") and path != "/api/{rest:path}":
        return "POST", BODIES[path.removeprefix("/api/")]
    return "GET", None


def test_every_command_has_a_request_here() -> None:
    assert set(BODIES) == {command.name for command in (*COMMANDS, BATCH)}


@pytest.mark.parametrize("path", routes())
async def test_no_route_reaches_the_broker_without_asking(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    api, spy, asked = spied(monkeypatch, [])
    method, body = request_of(path)
    response = await api.request(method, path.replace("{rest:path}", "x"), body=body)
    assert response.status_code in (200, 404, 503)
    assert spy.unasked == []
    assert asked or path in OPEN


@pytest.mark.parametrize("path", routes())
async def test_what_is_refused_touches_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decisions: list[int] = []
    api, spy, _ = spied(monkeypatch, decisions)
    ada = api.world.client(token="ada:")
    ada.ask("subscribe", channel="news")
    spy.touched.clear()
    decisions.append(103)
    method, body = request_of(path)
    response = await api.request(method, path.replace("{rest:path}", "x"), body=body)
    assert spy.touched == []
    assert ada.link.closed is None
    assert list(ada.session.subscriptions) == ["news"]
    if path not in OPEN:
        if path == "/api/broadcast":
            assert {each["error"]["code"] for each in response.json()["results"]} == {103}
        else:
            assert response.status_code == 403


async def test_the_watch_itself_finds_what_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    api, spy, _ = spied(monkeypatch, [])
    monkeypatch.setattr(api.hub.permissions, "authorize", lambda *arguments: None)
    await api.post("publish", BODIES["publish"])
    assert spy.unasked == [("publish", "closed/a")]


async def test_every_route_needs_a_credential_but_those_that_are_open() -> None:
    api = Api()
    for path in routes():
        method, body = request_of(path)
        response = await api.request(method, path.replace("{rest:path}", "x"), body=body, credential=None)
        assert (response.status_code == 401) == (path not in OPEN), path
