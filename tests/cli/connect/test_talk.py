"""Raw talk changes nothing; channel talk is a chat client of chappe.v1."""

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.cli.connect.happenings import Happening
from chappe.cli.connect.talk import ChannelTalk, Frame, RawTalk

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)


def decoded(frames: list[Frame]) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in frames]


def told(talk: ChannelTalk, message: object) -> list[tuple[str, str, str]]:
    frame = json.dumps(message)
    return [(happening.kind, happening.who, happening.text) for happening in talk.incoming(frame, NOW)]


def test_raw_talk_sends_and_shows_what_it_gets() -> None:
    talk = RawTalk()
    assert talk.opening() == []
    assert talk.outgoing("{x") == ["{x"]
    assert talk.incoming("{x", NOW) == [Happening(kind="received", time=NOW, text="{x")]
    assert talk.incoming(b"\x00", NOW) == [Happening(kind="received", time=NOW, data=b"\x00")]
    assert talk.answers('{"type":"ping"}') == []


def test_a_channel_opens_with_connect_subscribe_and_presence() -> None:
    connect, subscribe, presence = decoded(ChannelTalk("chat/lobby", "Ada", "t").opening())
    assert (connect["type"], connect["name"], connect["token"]) == ("connect", "Ada", "t")
    assert (subscribe["type"], subscribe["channel"], subscribe["presence"]) == ("subscribe", "chat/lobby", True)
    assert presence["type"] == "presence"
    assert len({connect["id"], subscribe["id"], presence["id"]}) == 3
    assert "name" not in decoded(ChannelTalk("chat/lobby").opening())[0]


def test_a_line_is_a_message_of_the_chat() -> None:
    (publish,) = decoded(ChannelTalk("chat/lobby", "Ada").outgoing("hé"))
    assert publish["data"] == {"type": "message", "content": "hé", "username": "Ada"}
    assert (publish["type"], publish["channel"]) == ("publish", "chat/lobby")


def publication(data: object, offset: int = 1, **fields: object) -> dict[str, object]:
    sender = {"user": None, "name": "Bob", "session": "9f"}
    return {
        "type": "publication",
        "channel": "c",
        "data": data,
        "offset": offset,
        "epoch": "x1",
        "from": sender,
        **fields,
    }


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (publication({"type": "message", "content": "hi", "username": "Ada"}), [("said", "Ada", "hi")]),
        (publication("bare"), [("said", "Bob", "bare")]),
        (publication({"n": 1}), [("said", "Bob", '{"n": 1}')]),
        (publication({"type": "message", "content": 5}), [("said", "Bob", "5")]),
        (publication("x") | {"from": None}, [("said", "?", "x")]),
        ({"type": "join", "member": {"name": "Bob", "session": "9f"}}, [("joined", "Bob", "")]),
        ({"type": "leave", "member": {"user": "bob", "session": "9f"}}, [("left", "bob", "")]),
        ({"type": "error", "code": 115, "reason": "name in use"}, [("error", "", "name in use (code 115)")]),
        ({"type": "unsubscribed", "code": 2000}, [("error", "", "unsubscribed 2000")]),
        ({"type": "message", "data": {"only": "you"}}, [("notice", "", '{"only": "you"}')]),
        ({"type": "new kind"}, []),
        ([publication("a"), publication("b", 2)], [("said", "Bob", "a"), ("said", "Bob", "b")]),
        (5, [("error", "", "5")]),
    ],
)
def test_a_message_of_the_hub_means(message: object, expected: list[tuple[str, str, str]]) -> None:
    assert told(ChannelTalk("c"), message) == expected


def test_what_was_said_has_the_hubs_time() -> None:
    (said,) = ChannelTalk("c").incoming(json.dumps(publication("x", time="2026-11-22T11:00:00.5Z")), NOW)
    assert said.time == datetime.datetime(2026, 11, 22, 11, 0, 0, 500000, tzinfo=datetime.UTC)
    (said,) = ChannelTalk("c").incoming(json.dumps(publication("x", time="soon")), NOW)
    assert said.time == NOW


def test_the_answer_to_presence_lists_names_once() -> None:
    talk = ChannelTalk("c")
    presence = decoded(talk.opening())[2]["id"]
    members = [{"name": "Bob"}, {"name": "Ada"}, {"name": "Bob"}]
    (present,) = talk.incoming(json.dumps({"type": "reply", "id": presence, "members": members}), NOW)
    assert present.names == ("Ada", "Bob")


def test_after_a_cut_it_subscribes_from_the_last_publication_and_tells_a_gap() -> None:
    talk = ChannelTalk("c")
    first = decoded(talk.opening())[1]
    assert "since" not in first
    talk.incoming(json.dumps({"type": "reply", "id": first["id"], "epoch": "x1", "offset": 4, "recovered": False}), NOW)
    talk.incoming(json.dumps(publication("x", 5)), NOW)
    second = decoded(talk.opening())[1]
    assert second["since"] == {"epoch": "x1", "offset": 5}
    reply = {"type": "reply", "id": second["id"], "epoch": "x1", "offset": 9, "recovered": True}
    assert talk.incoming(json.dumps(reply), NOW) == []
    assert decoded(talk.opening())[1]["since"]["offset"] == 5, "what follows moves it, not the answer"
    third = decoded(talk.opening())[1]
    gap = {"type": "reply", "id": third["id"], "epoch": "x2", "offset": 3, "recovered": False}
    (notice,) = talk.incoming(json.dumps(gap), NOW)
    assert "may be missing" in notice.text
    assert decoded(talk.opening())[1]["since"] == {"epoch": "x2", "offset": 3}


def test_the_hubs_ping_is_answered() -> None:
    assert decoded(ChannelTalk("c").answers('{"type":"ping"}')) == [{"type": "pong"}]


@given(st.text() | st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_frame_is_shown_and_never_fatal(frame: Frame) -> None:
    for happening in ChannelTalk("c").incoming(frame, NOW):
        assert happening.kind
