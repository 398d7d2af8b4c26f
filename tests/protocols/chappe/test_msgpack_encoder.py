"""chappe.v1 messages as MessagePack: the same maps as JSON, but bytes stay bytes."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.frame import Frame
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.chappe import JsonEncoder, MsgpackEncoder
from tests.protocols.chappe.publications import JSON_TEXT, publications


def unpack(frame: Frame | None) -> Any:
    assert frame is not None
    assert not frame.text
    return msgspec.msgpack.decode(frame.payload)


def is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(publications())
def test_ch_4_9_a_publication_is_the_map_that_json_shows_but_for_bytes(item: Publication) -> None:
    fields = unpack(MsgpackEncoder().publication(item))
    shown = json.loads(JsonEncoder().publication(item).payload)
    if not is_text(item.payload):
        assert fields.pop("data") == item.payload
        assert shown.pop("data").keys() == {"$base64"}
    assert fields == shown


@given(st.lists(publications(), max_size=3))
def test_ch_10_1_a_page_of_history_has_its_publications_in_order(items: list[Publication]) -> None:
    fields = unpack(MsgpackEncoder().message(base.HistoryPage(5, "a", items, Position("x1", 9))))
    alone = [unpack(MsgpackEncoder().publication(item)) for item in items]
    for item in alone:
        del item["type"]
    assert fields == {
        "type": "reply",
        "id": 5,
        "channel": "a",
        "publications": alone,
        "epoch": "x1",
        "offset": 9,
    }


def test_ch_6_5_bytes_are_bytes() -> None:
    item = Publication("a", b"\x00\xff\x01", Kind.BINARY, 1, "x1", 0)
    assert unpack(MsgpackEncoder().publication(item))["data"] == b"\x00\xff\x01"


@given(JSON_TEXT)
def test_ch_4_8_what_the_application_says_is_that_value(text: bytes) -> None:
    assert unpack(MsgpackEncoder().message(base.Direct(text))) == {"type": "message", "data": json.loads(text)}


def test_names_of_a_room_are_not_told() -> None:
    assert MsgpackEncoder().message(base.Names("a", [])) is None
    assert not MsgpackEncoder.wants_names
