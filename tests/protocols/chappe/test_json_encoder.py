"""chappe.v1 messages as JSON: joined from parts, and still whole JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st

from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.chappe import JsonEncoder
from chappe.protocols.chappe.fields import sender_fields
from chappe.protocols.chappe.json_encoder import encode_publication
from tests.protocols.chappe.publications import JSON_TEXT, publications


@given(publications())
def test_ch_4_4_a_publication_is_one_object_with_all_it_has_and_nothing_it_has_not(item: Publication) -> None:
    frame = JsonEncoder().publication(item)
    assert frame.text
    fields = json.loads(frame.payload)
    assert fields["type"] == "publication"
    assert fields["channel"] == item.channel == frame.channel
    assert fields["data"] == json.loads(item.as_json())
    assert fields["from"] == sender_fields(item.sender)
    assert fields["time"].endswith("Z")
    assert ("offset" in fields, "epoch" in fields) == ((False, False) if item.transient else (True, True))
    if not item.transient:
        assert (fields["offset"], fields["epoch"]) == (item.offset, item.epoch)
    assert fields.get("id") == item.id
    assert fields.get("headers", {}) == (item.headers or {})
    assert fields.get("retained", False) is item.retained
    assert frame.key == (item.headers or {}).get("key")


@given(publications())
def test_ch_4_4_inside_a_reply_a_publication_has_no_type(item: Publication) -> None:
    alone = json.loads(JsonEncoder().publication(item).payload)
    del alone["type"]
    assert json.loads(encode_publication(item)) == alone


@given(st.lists(publications(), max_size=4))
def test_ch_10_1_a_page_of_history_has_its_publications_in_order(items: list[Publication]) -> None:
    frame = JsonEncoder().message(base.HistoryPage(5, 'n"é', items, Position("x1", 9)))
    assert frame is not None
    fields = json.loads(frame.payload)
    assert fields["publications"] == [json.loads(encode_publication(item)) for item in items]
    assert (fields["type"], fields["id"], fields["channel"]) == ("reply", 5, 'n"é')
    assert (fields["epoch"], fields["offset"]) == ("x1", 9)


@given(st.integers(-(2**63), 2**64), st.integers(0, 2**63))
def test_ch_9_1_the_reply_to_publish_is_json(number: int, offset: int) -> None:
    frame = JsonEncoder().message(base.Published(number, offset, "x1"))
    assert frame is not None
    assert json.loads(frame.payload) == {"type": "reply", "id": number, "offset": offset, "epoch": "x1"}


@given(JSON_TEXT)
def test_ch_4_8_what_the_application_says_is_passed_on_as_it_is(text: bytes) -> None:
    frame = JsonEncoder().message(base.Direct(text))
    assert frame is not None
    assert json.loads(frame.payload) == {"type": "message", "data": json.loads(text)}
    assert text in frame.payload


def test_ch_6_1_the_text_of_a_value_is_not_written_anew() -> None:
    item = Publication("a", b'{"a" : 1.50}', Kind.JSON, 1, "x1", 0)
    assert b'"data":{"a" : 1.50},' in JsonEncoder().publication(item).payload


def test_names_of_a_room_are_not_told() -> None:
    assert JsonEncoder().message(base.Names("a", [])) is None
    assert not JsonEncoder.wants_names
