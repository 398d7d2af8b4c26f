"""`/broadcast`: frames go out as they came in."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.limits import Limits
from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.raw import BroadcastProtocol, RawEncoder


def protocol() -> BroadcastProtocol:
    return BroadcastProtocol(Limits(), RawEncoder())


@given(st.binary(max_size=100), st.booleans())
def test_ra_2_a_frame_is_a_publication_and_leaves_unchanged(payload: bytes, text: bool) -> None:
    (command,) = protocol().receive(payload, text)
    assert isinstance(command, base.Publish)
    assert (command.channel, command.kind) == ("broadcast", Kind.TEXT if text else Kind.BINARY)
    frame = RawEncoder().publication(Publication(command.channel, command.payload, command.kind, 1, "x1", 0))
    assert (frame.payload, frame.text) == (payload, text)


@given(st.text(max_size=30))
def test_ra_2_a_json_string_leaves_as_its_bare_text(text: str) -> None:
    item = Publication("broadcast", msgspec.json.encode(text), Kind.JSON, 1, "x1", 0)
    frame = RawEncoder().publication(item)
    assert (frame.payload, frame.text) == (text.encode(), True)


def test_ra_2_any_other_value_leaves_as_its_json_text() -> None:
    frame = RawEncoder().publication(Publication("broadcast", b'{"a" : 1}', Kind.JSON, 1, "x1", 0))
    assert (frame.payload, frame.text) == (b'{"a" : 1}', True)


def test_ra_3_what_could_not_be_published_is_not_taken() -> None:
    assert protocol().frame_bytes == (Limits().message_bytes, Limits().message_bytes)


def test_ra_4_there_is_no_word_for_an_error_and_every_connection_is_in_the_channel() -> None:
    assert RawEncoder().message(base.Failed(0, 103, "permission denied", False, {})) is None
    assert protocol().joins_at_once() == "broadcast"
