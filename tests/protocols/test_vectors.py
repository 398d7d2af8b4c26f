"""Every byte vector of spec/vectors holds for the protocols here."""

import re
from typing import Any

import msgspec
import pytest

from chappe.model.limits import Limits
from chappe.model.publication import Publication
from chappe.protocols.base import ROOM_COMMANDS, Encoder, ServerProtocol
from chappe.protocols.chappe import ChappeProtocol, JsonEncoder, MsgpackEncoder
from chappe.protocols.classic import ClassicEncoder, ClassicProtocol
from tests.protocols.vectors import FOLDER, load, meaning, message_of, same, title

COMMANDS = load("chappe.v1.commands.json")
MESSAGES = load("chappe.v1.messages.json")
CLASSIC_COMMANDS = load("classic.commands.json")
CLASSIC_MESSAGES = load("classic.messages.json")
ALL = [*COMMANDS, *MESSAGES, *CLASSIC_COMMANDS, *CLASSIC_MESSAGES, *load("websocket.frames.json")]


def with_(member: str, vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=title(vector)) for vector in vectors if member in vector]


def check_commands(protocol: ServerProtocol, payload: bytes, text: bool, expected: list[dict[str, Any]]) -> None:
    found = protocol.receive(payload, text)
    actual = [meaning(protocol.resolve(each) if type(each) in ROOM_COMMANDS else each) for each in found]
    assert len(actual) == len(expected), actual
    for wanted, got in zip(expected, actual, strict=True):
        assert same(wanted, got), f"expected {wanted}, got {got}"


def encode(encoder: Encoder, fields: dict[str, Any]) -> bytes:
    message = message_of(fields)
    frame = encoder.publication(message) if isinstance(message, Publication) else encoder.message(message)
    assert frame is not None
    return frame.payload


@pytest.mark.parametrize("vector", with_("json", COMMANDS))
def test_commands_as_json(vector: dict[str, Any]) -> None:
    check_commands(ChappeProtocol(Limits(), JsonEncoder()), vector["json"].encode(), True, vector["commands"])


@pytest.mark.parametrize("vector", with_("msgpack", COMMANDS))
def test_commands_as_msgpack(vector: dict[str, Any]) -> None:
    protocol = ChappeProtocol(Limits(), MsgpackEncoder(), msgpack=True)
    check_commands(protocol, bytes.fromhex(vector["msgpack"]), False, vector["commands"])


@pytest.mark.parametrize("vector", with_("json", MESSAGES))
def test_messages_as_json(vector: dict[str, Any]) -> None:
    assert encode(JsonEncoder(), vector["message"]).decode() == vector["json"]


@pytest.mark.parametrize("vector", with_("msgpack", MESSAGES))
def test_messages_as_msgpack(vector: dict[str, Any]) -> None:
    payload = encode(MsgpackEncoder(), vector["message"])
    assert msgspec.msgpack.decode(payload) == msgspec.msgpack.decode(bytes.fromhex(vector["msgpack"]))


@pytest.mark.parametrize("vector", with_("json", CLASSIC_COMMANDS))
def test_commands_of_classic(vector: dict[str, Any]) -> None:
    protocol = ClassicProtocol(Limits(), ClassicEncoder())
    if vector["logged_in"]:
        protocol.opened("Ada")
        protocol.entered("chat/lobby")
    check_commands(protocol, vector["json"].encode(), True, vector["commands"])


@pytest.mark.parametrize("vector", with_("json", CLASSIC_MESSAGES))
def test_messages_of_classic(vector: dict[str, Any]) -> None:
    assert encode(ClassicEncoder(), vector["message"]).decode() == vector["json"]


def test_every_vector_names_a_clause_that_the_specification_has() -> None:
    text = (FOLDER.parent / "protocol.md").read_text(encoding="utf-8")
    clauses = set(re.findall(r"(?:^|^\| )((?:CH|CL|RA|WS|SH)-[0-9.]*[0-9])\b", text, re.MULTILINE))
    assert {vector["clause"] for vector in ALL} <= clauses


def test_no_two_vectors_of_a_file_have_one_name() -> None:
    for path in FOLDER.glob("*.json"):
        names = [vector["name"] for vector in load(path.name)]
        assert len(set(names)) == len(names)
