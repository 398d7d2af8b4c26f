"""Every action on every path for everybody: who may, may on all of them, and who may not gets nothing on any.

One hub that asks for tokens, reached as clients and backends reach it. An action that is not in the matrix fails the
last test: whoever adds one says here who may.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import msgspec
import pytest
import websockets

from chappe.api.routes import COMMANDS
from chappe.hub.permissions import Action
from tests.hostile.neighbourhood import Place, served

SECRET: Final = "s" * 48
KEY: Final = "chappe_" + "k" * 40
#: What is stored where only the right user may read; nobody else may ever receive it.
HIDDEN: Final = "only-for-the-team"
CAPABILITIES: Final[dict[str, dict[str, Any]]] = {
    "wrong user": {"sub": "eve", "chappe": {"subscribe": ["other/#"], "publish": ["other/#"]}},
    "right user": {
        "sub": "ada",
        "chappe": {
            "subscribe": ["team/#", "chat/#", "broadcast"],
            "publish": ["team/#", "chat/#", "broadcast"],
        },
    },
    "operator": {"sub": "root", "scope": "operator"},
}
ACTORS: Final = ("nobody", *CAPABILITIES)
#: Codes that say no; an error about what there is to find comes behind the decision.
NO: Final = frozenset({101, 103, 109, 116})

RIGHT: Final = frozenset({"right user"})
KNOWN: Final = frozenset(CAPABILITIES)

#: What is asked, and who may.
MATRIX: Final[list[tuple[Action, dict[str, Any], frozenset[str]]]] = [
    (Action.SUBSCRIBE, {"type": "subscribe", "channel": "team/a"}, RIGHT),
    (Action.RETAINED, {"type": "subscribe", "channel": "team/kept"}, RIGHT),
    (Action.RECOVER, {"type": "subscribe", "channel": "team/b", "since": 5}, RIGHT),
    (Action.RECOVER, {"type": "subscribe", "channel": "team/c", "since": {"epoch": "x", "offset": 0}}, RIGHT),
    (Action.SUBSCRIBE_PATTERN, {"type": "subscribe", "channel": "team/#"}, RIGHT),
    (Action.SUBSCRIBE_PATTERN, {"type": "subscribe", "channel": "#"}, frozenset()),
    (Action.SUBSCRIBE, {"type": "subscribe", "channel": "closed/a"}, frozenset()),
    (Action.SUBSCRIBE, {"type": "subscribe", "channel": "$hub/events"}, frozenset()),
    (Action.SUBSCRIBE, {"type": "subscribe", "channel": "$session/9f"}, frozenset({"operator"})),
    (Action.SUBSCRIBE, {"type": "subscribe", "channel": "$user/ada"}, RIGHT | {"operator"}),
    (Action.HISTORY, {"type": "history", "channel": "team/a"}, RIGHT),
    (Action.HISTORY, {"type": "history", "channel": "closed/a"}, frozenset()),
    (Action.PRESENCE, {"type": "presence", "channel": "team/a"}, RIGHT),
    (Action.PUBLISH, {"type": "publish", "channel": "team/a", "data": 1}, RIGHT),
    (Action.PUBLISH, {"type": "publish", "channel": "team/a", "data": 1, "retain": True}, RIGHT),
    (Action.PUBLISH, {"type": "publish", "channel": "team/a", "data": 1, "expect": 10**9}, RIGHT),
    (Action.PUBLISH, {"type": "publish", "channel": "closed/a", "data": 1}, frozenset()),
    (Action.PUBLISH, {"type": "publish", "channel": "$user/ada", "data": 1}, frozenset()),
    (Action.LOCK, {"type": "lock", "resource": "doc/1"}, KNOWN),
    (Action.RPC, {"type": "rpc", "method": "none", "params": {}}, KNOWN),
]

Ask = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Serve a hub with a team's namespace, a chat, `/broadcast`, a closed namespace, and something to read in each."""
    folder: Path = tmp_path_factory.mktemp("matrix")
    (folder / "secret").write_text(SECRET)
    (folder / "keys").write_text(f"backend:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    spaces: dict[str, Any] = {}
    for name in ("team", "chat", "broadcast", "closed"):
        access = "nobody" if name == "closed" else "token"
        options = {"level": "recoverable", "presence": True, "patterns": True, "subscribe": access, "publish": access}
        spaces |= {f"namespaces__{name}__{key}": value for key, value in options.items()}
    with served(
        server__dev=False,
        auth__hmac_secret_file=str(folder / "secret"),
        auth__algorithms=("HS256",),
        api__keys_file=str(folder / "keys"),
        namespaces__chat__room=True,
        limits__connections_per_address=1_000,
        limits__unauthenticated_per_address=1_000,
        **spaces,
    ) as found:
        fill(found)
        yield found


def fill(place: Place) -> None:
    """Publish, as a backend, what is to be hidden: in histories, and retained."""
    commands = [
        {"type": "publish", "channel": channel, "data": HIDDEN}
        for channel in ("team/a", "team/b", "team/c", "team/kept", "chat/lobby", "closed/a")
    ]
    body = {"commands": commands}
    answer = httpx.post(f"{url(place)}/api/batch", json=body, headers=bearer(KEY))
    assert all("result" in each for each in answer.json()["results"]), answer.text


def url(place: Place) -> str:
    return f"http://127.0.0.1:{place.port}"


def bearer(credential: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"} if credential else {}


def credential(actor: str) -> str | None:
    if actor == "nobody":
        return None
    claims = {"aud": "chappe", "exp": time.time() + 600, **CAPABILITIES[actor]}
    return jwt.encode(claims, SECRET, algorithm="HS256")


# --- Paths: each gives a way to ask, and collects everything that came ------------------------------------------------

Path_ = Callable[[Place, str | None, bytearray], AbstractAsyncContextManager[Ask]]


@contextlib.asynccontextmanager
async def over_websocket(
    place: Place, token: str | None, heard: bytearray, msgpack: bool = False
) -> AsyncIterator[Ask]:
    subprotocol: Any = "chappe.v1.msgpack" if msgpack else "chappe.v1"
    encode: Callable[[Any], str | bytes] = msgspec.msgpack.encode if msgpack else _json
    decode: Callable[[Any], Any] = msgspec.msgpack.decode if msgpack else json.loads
    async with place.connect(subprotocols=[subprotocol], additional_headers=bearer(token)) as client:

        async def ask(command: dict[str, Any]) -> Any:
            try:
                await client.send(encode(command))
                while True:
                    frame = await asyncio.wait_for(client.recv(), 5)
                    heard.extend(frame.encode() if isinstance(frame, str) else frame)
                    message = decode(frame)
                    if message.get("id") == command["id"]:
                        return message
            except websockets.ConnectionClosed:
                return {"type": "error", "code": 101, "closed": client.close_code}

        yield ask


def _json(value: Any) -> str:
    return json.dumps(value)


def over_msgpack(place: Place, token: str | None, heard: bytearray) -> AbstractAsyncContextManager[Ask]:
    return over_websocket(place, token, heard, msgpack=True)


@contextlib.asynccontextmanager
async def over_polls(place: Place, token: str | None, heard: bytearray) -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(base_url=url(place), headers=bearer(token), timeout=10) as http:
        begun = await http.get("/poll")
        session = begun.json()["session"]

        async def ask(command: dict[str, Any]) -> Any:
            answer = await http.post(f"/send?session={session}", json=command)
            heard.extend(answer.content)
            polled = await http.get(f"/poll?session={session}&timeout=0")
            heard.extend(polled.content)
            told = answer.json()
            return told["messages"][0] if answer.status_code == 200 and told["messages"] else told

        yield ask
        await http.delete(f"/poll?session={session}")


@contextlib.asynccontextmanager
async def over_a_stream_and_posts(place: Place, token: str | None, heard: bytearray) -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(base_url=url(place), headers=bearer(token), timeout=10) as http:
        begun = await http.get("/poll")
        session = begun.json()["session"]
        # Who it is, is known before the stream begins; who is nobody has no session any more, and no stream.
        hello = await http.post(f"/send?session={session}", json={"type": "connect", "id": 0, "token": token or ""})
        heard.extend(hello.content)
        reading = asyncio.create_task(read_stream(http, f"/events?session={session}", heard))

        async def ask(command: dict[str, Any]) -> Any:
            answer = await http.post(f"/send?session={session}", json=command)
            heard.extend(answer.content)
            told = answer.json()
            return told["messages"][0] if answer.status_code == 200 and told["messages"] else told

        try:
            yield ask
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def read_stream(http: httpx.AsyncClient, path: str, heard: bytearray) -> None:
    async with http.stream("GET", path) as answer:
        async for piece in answer.aiter_bytes():
            heard.extend(piece)


PATHS: Final[dict[str, Path_]] = {
    "chappe.v1": over_websocket,
    "chappe.v1.msgpack": over_msgpack,
    "polls and posts": over_polls,
    "a stream and posts": over_a_stream_and_posts,
}


def is_refused(answer: Any) -> bool:
    """Whether an answer says no: by code, or because there is no session any more for who was refused before."""
    code = answer.get("code", 0)
    return code in NO or 3500 <= code < 4000 or code == 117


@pytest.mark.slow
@pytest.mark.parametrize(("path", "actor"), [*itertools.product(PATHS, ACTORS)])
async def test_whoever_asks_gets_the_same_answer_on_each_path(place: Place, path: str, actor: str) -> None:
    heard = bytearray()
    found, expected = {}, {}
    for number, (action, command, allowed) in enumerate(MATRIX, 1):
        # A session of its own for each: an earlier subscription must not decide anything.
        async with PATHS[path](place, credential(actor), heard) as ask:
            answer = await ask({"id": number, **command})
        key = f"{number} {action.value} {command}"
        found[key], expected[key] = not is_refused(answer), actor in allowed
    assert found == expected
    assert (HIDDEN.encode() in heard) is (actor == "right user")


@pytest.mark.slow
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("channel=team/a", RIGHT),
        ("channel=team/b&since=5", RIGHT),
        ("channel=team/b&raw=1&since=5", RIGHT),
        ("channel=team/kept", RIGHT),
        ("channel=team/%23", RIGHT),
        ("channel=%23", frozenset()),
        ("channel=closed/a", frozenset()),
        ("channel=team/a&channel=closed/a", frozenset()),
        ("channel=team/a&last_event_id=x", RIGHT),
        ("channel=$hub/events", frozenset()),
        ("channel=$session/9f", frozenset({"operator"})),
    ],
)
async def test_a_stream_of_events_begins_for_who_may_and_for_nobody_else(
    place: Place, query: str, allowed: frozenset[str], actor: str
) -> None:
    async with (
        httpx.AsyncClient(base_url=url(place), headers=bearer(credential(actor)), timeout=10) as http,
        http.stream("GET", f"/events?{query}") as answer,
    ):
        if actor in allowed:
            assert answer.status_code == 200
            return
        assert answer.status_code == (401 if actor == "nobody" else 403)
        assert HIDDEN.encode() not in await answer.aread()


@pytest.mark.slow
@pytest.mark.parametrize("actor", ACTORS)
async def test_a_chat_room_takes_who_may_and_tells_nobody_else_anything(place: Place, actor: str) -> None:
    name = CAPABILITIES.get(actor, {}).get("sub", "Ada")
    heard: list[Any] = []
    async with place.connect("/", additional_headers=bearer(credential(actor))) as client:
        for message in (
            {"type": "login", "content": name},
            {"type": "message", "content": "hello"},
            {"type": "userlist"},
        ):
            with contextlib.suppress(websockets.ConnectionClosed):
                await client.send(json.dumps(message))
        with contextlib.suppress(websockets.ConnectionClosed):
            await client.send(b"\x01file")
            await client.send('{"type":"ping"}')
            while not heard or heard[-1].get("type") != "pong":
                heard.append(json.loads(await asyncio.wait_for(client.recv(), 5)))
    kinds = {each["type"] for each in heard}
    if actor == "right user":
        assert {"join", "message"} <= kinds, heard
    else:
        assert kinds <= {"error", "pong"}, heard
        assert {each["code"] for each in heard if each["type"] == "error"} <= NO


@pytest.mark.slow
@pytest.mark.parametrize("actor", ACTORS)
async def test_a_service_is_asked_for_who_is_somebody(place: Place, actor: str) -> None:
    async with place.connect("/", additional_headers=bearer(credential(actor))) as client:
        await client.send('{"service":"billing","action":"quote","requestId":"r1"}')
        code = 0
        with contextlib.suppress(websockets.ConnectionClosed):
            code = json.loads(await asyncio.wait_for(client.recv(), 5))["code"]
        assert code in ({101} if actor == "nobody" else {120, 121})


@pytest.mark.slow
@pytest.mark.parametrize("actor", ACTORS)
async def test_broadcast_carries_frames_of_who_may_and_to_nobody_else(place: Place, actor: str) -> None:
    async with place.connect("/broadcast", additional_headers=bearer(credential("right user"))) as witness:
        await witness.send("first")
        assert await asyncio.wait_for(witness.recv(), 5) == "first"
        got: list[Any] = []
        try:
            async with place.connect("/broadcast", additional_headers=bearer(credential(actor))) as client:
                await client.send(f"from {actor}")
                await witness.send(HIDDEN)
                while True:
                    got.append(await asyncio.wait_for(client.recv(), 5))
                    if got[-1] == HIDDEN:
                        break
        except (websockets.ConnectionClosed, websockets.InvalidStatus):
            await witness.send(HIDDEN)
        said: list[Any] = []
        while not said or said[-1] != HIDDEN:
            said.append(await asyncio.wait_for(witness.recv(), 5))
    if actor == "right user":
        assert HIDDEN in got
        assert f"from {actor}" in said
    else:
        assert got == []
        assert said == [HIDDEN]


@pytest.mark.slow
@pytest.mark.parametrize("caller", [*ACTORS, "backend"])
async def test_the_api_serves_backends_and_operators_and_nobody_else(place: Place, caller: str) -> None:
    """No user has a scope, whatever it may do in channels; an operator may look and disconnect, and publish nothing."""
    bodies: dict[str, Any] = {
        "publish": {"channel": "team/a", "data": 1},
        "broadcast": {"channels": ["team/a"], "data": 1},
        "history": {"channel": "team/a"},
        "presence": {"channel": "team/a"},
        "channels": {},
        "bridges": {},
        "connections": {},
        "locks": {},
        "info": {},
        "disconnect": {"user": "nobody-here"},
        "revoke": {"user": "nobody-here"},
        "subscribe": {"channel": "team/a", "user": "nobody-here"},
        "unsubscribe": {"channel": "team/a", "user": "nobody-here"},
        "rpc": {"method": "none"},
        "tickets": {"user": "nobody-here"},
    }
    assert set(bodies) == {command.name for command in COMMANDS}
    operators = {command.name for command in COMMANDS if "operator" in command.scopes}
    key = KEY if caller == "backend" else credential(caller)
    async with httpx.AsyncClient(base_url=url(place), headers=bearer(key)) as http:
        for name, body in bodies.items():
            answer = await http.post(f"/api/{name}", json=body)
            may = caller == "backend" or (caller == "operator" and name in operators)
            expected = {401} if caller == "nobody" else {403}
            # A broadcast says for each channel what became of it.
            refused_each = answer.status_code == 200 and '"code":103' in answer.text
            assert (answer.status_code in expected or refused_each) is not may, (name, answer.text)
            inside = await http.post("/api/batch", json={"commands": [{"type": name, **body}]})
            if inside.status_code == 200:
                refused = '"code":103' in inside.text
                assert refused is not may, (name, inside.text)
            else:
                assert inside.status_code in expected
                assert not may
            if not may:
                assert HIDDEN not in answer.text + inside.text
        metrics = await http.get("/metrics")
        assert metrics.status_code == (200 if caller in ("backend", "operator") else 401 if caller == "nobody" else 403)


def test_every_action_is_in_the_matrix() -> None:
    of_services = {Action.GATEWAY}
    of_the_api = {Action.INSPECT, Action.DISCONNECT, Action.TICKET}
    assert {action for action, _, _ in MATRIX} | of_services | of_the_api == set(Action)
