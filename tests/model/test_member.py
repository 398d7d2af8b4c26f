"""A member is what presence shows."""

import msgspec
import pytest

from chappe.model.member import Member


def test_a_member_without_a_user_is_its_session() -> None:
    member = Member("9f", None, "Ada")
    assert msgspec.to_builtins(member) == {"session": "9f", "user": None, "name": "Ada", "info": None}


def test_a_member_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Member("9f", "ada", "Ada").name = "Blaise"  # type: ignore[misc]
