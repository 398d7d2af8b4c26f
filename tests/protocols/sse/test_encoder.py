"""Publications and messages as events."""

from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import given

from chappe.model.error_codes import Code
from chappe.model.frame import SlowConsumer
from chappe.model.member import Member
from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.chappe import JsonEncoder
from chappe.protocols.sse.cursor import cursor_of
from chappe.protocols.sse.encoder import EventEncoder, EventFrame, RawEventEncoder, end_event, name_of
from tests.protocols.chappe.publications import publications
from tests.protocols.sse.reader import EventReader, Said


def publication(payload: bytes = b"1", kind: Kind = Kind.JSON, **fields: typing.Any) -> Publication:
    return Publication("a", payload, kind, fields.pop("offset", 7), "x1", 0, **fields)


def read(payload: bytes) -> Said:
    (said,) = EventReader().feed(payload)
    return said


@given(publications())
def test_an_event_has_the_publication_of_chappe_v1_and_the_cursor_of_its_channel(drawn: Publication) -> None:
    frame = EventEncoder(True).publication(drawn)
    said = read(frame.payload)
    assert said.name == "message"
    assert msgspec.json.decode(said.data) == msgspec.json.decode(JsonEncoder().publication(drawn).payload)
    is_place = not drawn.transient and not drawn.retained
    assert said.id == (cursor_of(drawn.channel, drawn.position).decode() if is_place else "")
    assert frame.channel == drawn.channel


@given(publications())
def test_events_of_several_channels_share_all_but_their_end(drawn: Publication) -> None:
    frame = EventEncoder(False).publication(drawn)
    assert isinstance(frame, EventFrame)
    frame.policy = SlowConsumer.LATEST
    assert EventReader().feed(frame.payload) == []
    ended = end_event(frame, b"cursor")
    whole = read(EventEncoder(True).publication(drawn).payload)
    assert read(ended.payload) == Said("message", whole.data, "cursor")
    assert (ended.channel, ended.key, ended.policy) == (frame.channel, frame.key, frame.policy)
    assert read(end_event(frame, b"").payload).id == ""


@pytest.mark.parametrize(
    ("payload", "kind", "data"),
    [
        (b'{"a": 1}', Kind.JSON, '{"a": 1}'),
        (b'"bare"', Kind.JSON, "bare"),
        (b"two\nlines\rand\r\nfour", Kind.TEXT, "two\nlines\nand\nfour"),
        (b"\xff", Kind.BINARY, '{"$base64":"/w=="}'),
        ("é".encode(), Kind.BINARY, "é"),
        (b"", Kind.TEXT, ""),
    ],
)
def test_a_raw_event_has_nothing_but_the_payload(payload: bytes, kind: Kind, data: str) -> None:
    said = read(RawEventEncoder(True).publication(publication(payload, kind)).payload)
    assert (said.name, said.data) == ("message", data)


def test_pushes_are_named_by_their_type() -> None:
    member = Member("s", None, "Ada")
    messages: list[base.Message] = [
        base.Joined("a", member),
        base.Left("a", member),
        base.PresenceState("a", None, 300),
        base.Missed("a", 3),
        base.Direct(b'"only you"'),
        base.Unsubscribed("a", Code.UNSUBSCRIBED_PERMISSION_WITHDRAWN, "withdrawn"),
        base.Failed(None, 107, "no", False, {}),
        base.Done(1),
    ]
    for message in messages:
        frame = EventEncoder(True).message(message)
        assert frame is not None
        said = read(frame.payload)
        assert said.name == msgspec.json.decode(said.data)["type"], message
        assert said.id == ""


def test_every_message_that_chappe_v1_has_a_word_for_has_a_name() -> None:
    replies = {"Connected", "Subscribed", "Published", "HistoryPage", "PresenceList", "Locked", "Unlocked"}
    replies |= {"LockOwned", "Result", "Done", "Names"}
    for kind in typing.get_args(base.Message):
        assert (name_of(kind) == b"reply") == (kind.__name__ in replies), kind


def test_the_end_of_a_subscription_that_may_begin_again_has_no_word_so_that_the_stream_ends() -> None:
    ended = base.Unsubscribed("a", Code.UNSUBSCRIBED_INSUFFICIENT_STATE, "again")
    assert EventEncoder(True).message(ended) is None
    assert EventEncoder(False).message(ended) is None


def test_a_raw_stream_is_told_nothing_else() -> None:
    encoder = RawEventEncoder(True)
    assert encoder.message(base.Missed("a", 3)) is None
    assert encoder.message(base.Joined("a", Member("s", None, "Ada"))) is None
    opening = encoder.message(base.Subscribed(1, "a", None, "x:1", False))
    assert opening is not None
    assert EventReader().feed(opening.payload) == []


def test_encoders_have_names_of_their_own() -> None:
    encoders = [kind(whole) for kind in (EventEncoder, RawEventEncoder) for whole in (True, False)]
    assert len({encoder.name for encoder in encoders}) == 4
