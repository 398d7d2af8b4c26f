"""Refusals reach the audit with who, what and the rule; nothing else does, and long names are cut."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.hub.auditing import shortened
from chappe.hub.contracts import Claims
from chappe.model.error_codes import Code
from tests.hub.harness import Tokens, World


@pytest.fixture
def audited() -> tuple[World, list[dict[str, Any]]]:
    world = World(authenticator=Tokens(ada=Claims(user="ada", publish=("a/#",))))
    told: list[dict[str, Any]] = []
    world.hub.audit = lambda event, members: told.append({"event": event, **members})
    return world, told


def test_a_refusal_says_who_what_and_which_rule(audited: tuple[World, list[dict[str, Any]]]) -> None:
    world, told = audited
    client = world.client(token="ada", address="192.0.2.7")
    assert client.code("publish", channel="b", data=1) == Code.PERMISSION_DENIED
    assert told == [
        {
            "event": "refused",
            "code": 103,
            "session": client.session.id,
            "user": "ada",
            "name": "ada",
            "address": "192.0.2.7",
            "carrier": "websocket",
            "action": "publish",
            "channel": "b",
            "rule": "no_capability",
            "namespace": "default",
        }
    ]


def test_a_wrong_token_and_an_impersonation_are_told(audited: tuple[World, list[dict[str, Any]]]) -> None:
    world, told = audited
    stranger = world.client()
    stranger.command("connect", token="wrong")
    speaker = world.client("classic", name="Ada")
    speaker.send({"type": "message", "content": "hi", "username": "Blaise"})
    world.settle()
    assert [(line["code"], line.get("problem"), line.get("field")) for line in told] == [
        (101, "the signature is wrong", None),
        (103, None, "username"),
    ]
    assert "rule" not in told[1]


def test_other_errors_are_nobodys_business(audited: tuple[World, list[dict[str, Any]]]) -> None:
    world, told = audited
    client = world.client(name="Ada")
    for _ in range(2):
        client.ask("subscribe", channel="a")
    client.ask("publish", channel="a", data="x" * 70_000)
    client.ask("nonsense")
    assert told == []


def test_a_name_that_fills_the_disk_is_cut(audited: tuple[World, list[dict[str, Any]]]) -> None:
    world, told = audited
    client = world.client(name="Ada")
    client.ask("subscribe", channel="closed/" + "x" * 200)
    client.ask("lock", resource="x" * 60_000)
    world.hub.permissions.anonymous = False
    client.ask("rpc", method="x" * 60_000)
    assert len(told) == 2
    assert all(len(str(value)) <= 255 for line in told for value in line.values())


def test_what_backends_name_is_cut_too() -> None:
    assert shortened(["x" * 1_000] * 1_000) == ["x" * 255] * 20
    assert shortened(7) == 7


def test_rights_that_a_newer_token_withdraws_are_told(audited: tuple[World, list[dict[str, Any]]]) -> None:
    world, told = audited
    world.hub.authenticator = Tokens(
        wide=Claims(user="ada", subscribe=("a",)), narrow=Claims(user="ada", subscribe=("b",))
    )
    client = world.client(token="wide")
    client.ask("subscribe", channel="a")
    client.ask("refresh", token="narrow")
    assert [(line["code"], line["user"]) for line in told] == [(int(Code.UNSUBSCRIBED_PERMISSION_WITHDRAWN), "ada")]
