"""Messages as classic says them: text for text, bytes for bytes, and the session's own name on every line."""

import json

from hypothesis import given
from hypothesis import strategies as st

from chappe.model.member import Member
from chappe.model.publication import Kind, Publication, Sender
from chappe.protocols import base
from chappe.protocols.classic import ClassicEncoder
from tests.protocols.chappe.publications import publications


@given(publications())
def test_cl_3_3_whatever_is_published_comes_as_a_message_of_strings(item: Publication) -> None:
    frame = ClassicEncoder().publication(item)
    assert frame is not None
    if item.kind is Kind.BINARY:
        assert (frame.payload, frame.text) == (item.payload, False)
        return
    assert frame.text
    fields = json.loads(frame.payload)
    assert fields.keys() - {"sent"} == {"type", "content", "username", "timestamp"}
    assert fields["type"] == "message"
    assert all(isinstance(value, str) for value in fields.values())


@given(st.text(max_size=20), st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_cl_3_3_nobody_appears_under_another_name(content: str, claimed: str, name: str) -> None:
    said = json.dumps({"type": "message", "content": content, "username": claimed}).encode()
    item = Publication("chat/lobby", said, Kind.JSON, 1, "x1", 0, Sender(None, name, "9f"))
    frame = ClassicEncoder().publication(item)
    assert frame is not None
    fields = json.loads(frame.payload)
    assert (fields["content"], fields["username"]) == (content, name)


def test_a_publisher_without_a_name_is_shown_by_its_session() -> None:
    item = Publication("chat/lobby", b'"x"', Kind.JSON, 1, "x1", 0, Sender(None, "", "9f"))
    frame = ClassicEncoder().publication(item)
    assert frame is not None
    assert json.loads(frame.payload)["username"] == "9f"


def test_cl_2_5_who_has_no_name_comes_and_goes_untold() -> None:
    assert ClassicEncoder().message(base.Joined("chat/lobby", Member("9f", None, ""))) is None
    assert ClassicEncoder().message(base.Left("chat/lobby", Member("9f", None, ""))) is None


def test_cl_1_4_an_error_names_its_request_only_if_it_had_one() -> None:
    frame = ClassicEncoder().message(base.Failed(0, 107, "bad", False, {"field": "content"}))
    assert frame is not None
    assert json.loads(frame.payload) == {"type": "error", "content": "bad", "code": 107}


def test_rooms_are_told_as_lists_of_names() -> None:
    assert ClassicEncoder.wants_names
