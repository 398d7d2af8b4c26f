"""Presence counts users, not sessions."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chappe.hub.presence import ChannelPresence
from chappe.model.member import Member

_SESSIONS = st.sampled_from([f"s{number}" for number in range(8)])
_USERS = st.sampled_from([None, "ada", "blaise"])


class PresenceMachine(RuleBasedStateMachine):
    """Sessions come and go; a list that a client keeps from joins and leaves must equal the true one."""

    def __init__(self) -> None:
        super().__init__()
        self.presence = ChannelPresence()
        self.sessions: dict[str, str | None] = {}
        self.told: list[Member] = []

    @rule(session=_SESSIONS, user=_USERS)
    def come(self, session: str, user: str | None) -> None:
        joins = session not in self.sessions and (user is None or user not in self.sessions.values())
        member = self.presence.add(session, user, user or f"guest {session}", {"n": session})
        assert (member is not None) is joins
        if session not in self.sessions:
            self.sessions[session] = user
        if member is not None:
            assert member == Member(session, user, user or f"guest {session}", {"n": session})
            self.told.append(member)

    @rule(session=_SESSIONS)
    def go(self, session: str) -> None:
        was_here = session in self.sessions
        user = self.sessions.pop(session, None)
        leaves = was_here and (user is None or user not in self.sessions.values())
        member = self.presence.remove(session)
        assert (member is not None) is leaves
        if member is not None:
            self.told.remove(member)

    @invariant()
    def the_list_is_what_joins_and_leaves_told(self) -> None:
        assert self.presence.members() == self.told
        users = {user for user in self.sessions.values() if user is not None}
        guests = [session for session, user in self.sessions.items() if user is None]
        assert len(self.presence) == len(users) + len(guests)
        for number in range(8):
            assert (f"s{number}" in self.presence) is (f"s{number}" in self.sessions)


TestPresenceMachine = pytest.mark.slow(PresenceMachine.TestCase)
TestPresenceMachine.settings = settings(deadline=None)


def test_a_user_joins_with_the_first_session_and_leaves_with_the_last() -> None:
    presence = ChannelPresence()
    joined = presence.add("s1", "ada", "Ada", {"team": 1})
    assert joined == Member("s1", "ada", "Ada", {"team": 1})
    assert presence.add("s2", "ada", "Ada", {"team": 1}) is None
    assert presence.remove("s1") is None
    assert presence.members() == [joined]
    assert presence.remove("s2") == joined
    assert len(presence) == 0


def test_sessions_without_a_user_are_members_each() -> None:
    presence = ChannelPresence()
    assert presence.add("s1", None, "Ada") is not None
    assert presence.add("s2", None, "") is not None
    assert len(presence) == 2


def test_a_claimed_name_is_no_user() -> None:
    presence = ChannelPresence()
    presence.add("s1", "ada", "ada")
    assert presence.add("s2", None, "ada") is not None
    assert presence.remove("s1") is not None


def test_names_are_sorted_without_case_as_shown_and_unique() -> None:
    presence = ChannelPresence()
    for number, name in enumerate(["émile", "Blaise", "ada", "", "Émile", "blaise", "ada"]):
        presence.add(f"s{number}", None, name)
    assert presence.names() == ["ada", "Blaise", "blaise", "Émile", "émile"]


def test_members_come_in_join_order_and_a_return_is_at_the_end() -> None:
    presence = ChannelPresence()
    for session in ("s1", "s2", "s3"):
        presence.add(session, None, session)
    presence.remove("s1")
    presence.add("s1", None, "s1")
    assert [member.session for member in presence.members()] == ["s2", "s3", "s1"]


def test_removing_a_session_that_is_not_here_tells_nothing() -> None:
    assert ChannelPresence().remove("s1") is None
