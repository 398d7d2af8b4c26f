"""chappe.v1 as the client reads and writes it."""

import datetime
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.client.messages import (
    Codec,
    Encoding,
    Failure,
    Joined,
    Pong,
    PresenceTold,
    Publication,
    Pushed,
    Reply,
    member_of,
)
from chappe.model.errors import LocalProtocolError, RemoteProtocolError
from chappe.model.member import Member
from chappe.model.position import Position
from chappe.model.publication import Sender

ENCODINGS: list[Encoding] = ["json", "msgpack"]
WHOLE: dict[str, Any] = {
    "type": "publication",
    "channel": "news",
    "data": {"hello": ["world", 1, None]},
    "offset": 45,
    "epoch": "x1",
    "time": "2026-11-22T12:00:00.123Z",
    "from": {"user": "ada", "name": "Ada", "session": "9f"},
    "id": "key",
    "headers": {"a": "b"},
    "retained": True,
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def frame_of(encoding: Encoding, message: Any) -> str | bytes:
    return msgspec.msgpack.encode(message) if encoding == "msgpack" else msgspec.json.encode(message).decode()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_publication_keeps_all_it_was_published_with(encoding: Encoding) -> None:
    codec = Codec(encoding)
    [pushed] = codec.decode(frame_of(encoding, WHOLE))
    assert isinstance(pushed, Pushed)
    assert codec.publication(pushed) == Publication(
        "news",
        {"hello": ["world", 1, None]},
        45,
        "x1",
        datetime.datetime(2026, 11, 22, 12, 0, 0, 123_000, tzinfo=datetime.UTC),
        Sender("ada", "Ada", "9f"),
        "key",
        {"a": "b"},
        True,
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_publication_may_have_no_more_than_a_channel_and_data(encoding: Encoding) -> None:
    codec = Codec(encoding)
    [pushed] = codec.decode(frame_of(encoding, {"type": "publication", "channel": "news", "data": None, "from": None}))
    assert isinstance(pushed, Pushed)
    publication = codec.publication(pushed)
    assert (publication.data, publication.position, publication.from_) == (None, None, None)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(value=values)
def test_a_value_comes_back_as_it_was(encoding: Encoding, value: Any) -> None:
    codec = Codec(encoding)
    assert codec.value(codec.data(value)) == value


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.binary())
def test_bytes_come_back_as_bytes(encoding: Encoding, data: bytes) -> None:
    codec = Codec(encoding)
    assert codec.value(codec.data(data)) == data
    assert codec.value(codec.data(bytearray(data))) == data


def test_bytes_have_a_form_of_their_own_in_json() -> None:
    assert bytes(Codec("json").data(b"\x00\xff\x01")) == b'{"$base64":"AP8B"}'


@pytest.mark.parametrize("data", [{"$base64": "not base64!"}, {"$base64": 1}, {"$base64": "AP8B", "more": 1}])
def test_an_object_that_only_looks_like_bytes_stays_one(data: Any) -> None:
    codec = Codec("json")
    assert codec.value(codec.data(data)) == data


@pytest.mark.parametrize(
    ("data", "payload"), [(b"\xff", b"\xff"), ("é", "é".encode()), ({"a": [1, 2]}, b'{"a":[1,2]}'), (None, b"null")]
)
def test_the_payload_is_what_raw_protocols_would_get(data: Any, payload: bytes) -> None:
    assert Publication("news", data).payload == payload


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_batch_is_read_in_order(encoding: Encoding) -> None:
    messages = Codec(encoding).decode(frame_of(encoding, [{"type": "reply", "id": 1}, {"type": "pong"}]))
    assert messages == [Reply(1), Pong()]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_a_later_hub_says_is_left_out_and_costs_nothing_else(encoding: Encoding) -> None:
    codec = Codec(encoding)
    assert codec.decode(frame_of(encoding, {"type": "weather", "degrees": 12})) == []
    batch = [{"type": "weather"}, {"type": "reply", "id": 7, "unknown": [1]}, {"type": "pong"}]
    assert codec.decode(frame_of(encoding, batch)) == [Reply(7), Pong()]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "message", [7, "text", None, {}, {"type": 3}, {"type": "reply"}, {"type": "publication", "channel": 1}, [[]]]
)
def test_what_is_no_chappe_v1_is_refused(encoding: Encoding, message: Any) -> None:
    with pytest.raises(RemoteProtocolError, match=r"no chappe\.v1"):
        Codec(encoding).decode(frame_of(encoding, message))


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(frame=st.binary(max_size=60))
def test_any_bytes_are_messages_or_refused(encoding: Encoding, frame: bytes) -> None:
    with suppress(RemoteProtocolError):
        Codec(encoding).decode(frame)


def test_deep_nesting_is_refused_and_not_fatal() -> None:
    with pytest.raises(RemoteProtocolError):
        Codec("json").decode("[" * 100_000)


def test_members_and_errors_may_leave_out_what_is_empty() -> None:
    codec = Codec("json")
    joined, failure, told = codec.decode(
        '[{"type":"join","channel":"news","member":{"session":"9f"}},'
        '{"type":"error","code":103},'
        '{"type":"presence","channel":"news","count":4000}]'
    )
    assert isinstance(joined, Joined)
    assert member_of(joined.member) == Member("9f", None, "")
    assert failure == Failure(103)
    assert told == PresenceTold("news", None, 4000)


def test_a_position_can_be_kept_and_asked_for_later() -> None:
    assert Publication("news", 1, 45, "x1").position == Position("x1", 45)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="'json' or 'msgpack'"):
        Codec("xml")  # type: ignore[arg-type]
