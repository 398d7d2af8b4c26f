"""Which protocol a connection speaks: by path and subprotocol."""

import json
from typing import Any

import pytest
from websockets.typing import Subprotocol

from tests.transports.front_door_harness import front_door


@pytest.mark.parametrize(
    ("path", "offered", "chosen"),
    [
        ("/ws", None, None),
        ("/ws", ["chappe.v1"], "chappe.v1"),
        ("/ws", ["unknown", "chappe.v1.msgpack"], "chappe.v1.msgpack"),
        ("/", ["chappe.v1"], "chappe.v1"),
        ("/", None, None),
        ("/", ["classic"], "classic"),
    ],
)
async def test_the_first_known_subprotocol_is_chosen(path: str, offered: list[str] | None, chosen: str | None) -> None:
    options: dict[str, Any] = {"subprotocols": [Subprotocol(name) for name in offered]} if offered else {}
    async with front_door() as server, server.connect(path, **options) as client:
        assert client.subprotocol == chosen


async def test_the_root_speaks_classic_by_default_and_ws_speaks_chappe_v1() -> None:
    async with front_door() as server, server.connect("/") as classic, server.connect("/ws") as modern:
        for client, expected in ((classic, {"type": "error", "content": "not logged in", "code": 116}), (modern, 107)):
            await client.send('{"type":"message","content":"hello"}')
            answer = json.loads(await client.recv())
            assert answer == expected if isinstance(expected, dict) else answer["code"] in (104, 107)


async def test_the_gateway_says_that_there_is_no_such_service_yet() -> None:
    async with front_door() as server, server.connect("/gateway?lang=fr") as client:
        await client.send('{"service":"billing","action":"quote","requestId":"r1"}')
        answer = json.loads(await client.recv())
        assert answer == {"type": "error", "content": "Service non disponible", "code": 121, "requestId": "r1"}


async def test_ra_5_the_gateway_is_no_chat() -> None:
    async with front_door() as server, server.connect("/gateway") as client:
        for sent, code in (
            ('{"type":"login","content":"Ada"}', 104),
            ('{"type":"lock","resource":"r"}', 104),
            (b"x", 107),
        ):
            await client.send(sent)
            answer = json.loads(await client.recv())
            assert (answer["type"], answer["code"]) == ("error", code)
        await client.send('{"type":"ping"}')
        assert json.loads(await client.recv()) == {"type": "pong"}


@pytest.mark.parametrize(
    ("path", "header", "text"),
    [
        ("/", None, "not logged in"),
        ("/?lang=fr", None, "Vous n'êtes pas connecté"),
        ("/", "fr-CH, en;q=0.5", "Vous n'êtes pas connecté"),
        ("/", "de, en;q=0.8, fr;q=0.7", "not logged in"),
        ("/?lang=en", "fr", "not logged in"),
    ],
)
async def test_errors_are_worded_in_the_language_asked_for(path: str, header: str | None, text: str) -> None:
    headers = {"Accept-Language": header} if header else {}
    async with front_door() as server, server.connect(path, additional_headers=headers) as client:
        await client.send('{"type":"message","content":"hello"}')
        assert json.loads(await client.recv())["content"] == text
