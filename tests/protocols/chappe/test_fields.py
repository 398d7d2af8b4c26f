"""The members of messages: one writer for each, the same for both encodings."""

import typing

import pytest

from chappe.model.member import Member
from chappe.model.publication import Sender
from chappe.protocols import base
from chappe.protocols.chappe.fields import member_fields, message_fields, sender_fields

# These have bytes or publications in them, which each encoding writes in its own way.
WRITTEN_BY_ENCODERS = {base.HistoryPage, base.Direct}


def test_every_message_but_names_has_a_writer() -> None:
    from chappe.protocols.chappe import fields

    assert set(fields._WRITERS) == set(typing.get_args(base.Message)) - WRITTEN_BY_ENCODERS - {base.Names}


def test_names_of_a_room_have_no_word() -> None:
    assert message_fields(base.Names("chat/lobby", ["Ada"])) is None


def test_ch_4_4_from_is_user_name_and_session_or_null_for_a_backend() -> None:
    assert sender_fields(Sender("ada", "Ada", "9f")) == {"user": "ada", "name": "Ada", "session": "9f"}
    assert sender_fields(None) is None


@pytest.mark.parametrize("info", [False, 0, "", [], {"team": 1}])
def test_ch_11_1_info_is_told_if_the_token_has_any(info: object) -> None:
    assert member_fields(Member("9f", "ada", "ada", info))["info"] == info


def test_ch_11_1_info_is_absent_if_there_is_none() -> None:
    assert "info" not in member_fields(Member("9f", None, "Ada"))


def test_ch_4_3_an_error_has_no_empty_detail_and_no_id_of_nothing() -> None:
    assert message_fields(base.Failed(None, 100, "internal error", True, {})) == {
        "type": "error",
        "code": 100,
        "reason": "internal error",
        "retry": True,
    }


def test_ch_4_3_an_id_of_zero_is_an_id() -> None:
    fields = message_fields(base.Failed(0, 100, "internal error", True, {}))
    assert fields is not None
    assert fields["id"] == 0


def test_ch_11_4_a_count_alone_has_no_members() -> None:
    assert message_fields(base.PresenceState("a", None, 201)) == {"type": "presence", "channel": "a", "count": 201}
    assert message_fields(base.PresenceState("a", [], 0)) == {
        "type": "presence",
        "channel": "a",
        "members": [],
        "count": 0,
    }
