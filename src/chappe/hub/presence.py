"""Who is in one channel, counted per user."""

from typing import Any

from chappe.model.member import Member


class ChannelPresence:
    """The members of one channel: joins and leaves are per user, at the first and the last session.

    A join and its leave tell the equal `Member`, so that whoever keeps a list by session or by user stays right.
    """

    __slots__ = ("_member_by_session", "_members", "_more")

    def __init__(self) -> None:
        # In join order. By user, or by (session,) of those without: the session that joined may go, and come back as
        # another.
        self._members: dict[str | tuple[str], Member] = {}
        self._member_by_session: dict[str, Member] = {}
        # Sessions of a user beyond the first, where there are any.
        self._more: dict[str, int] = {}

    def add(self, session_id: str, user: str | None, name: str, info: Any = None) -> Member | None:
        """Add a session.

        Returns:
            The member if this is a join; None if the user is here already with another session, or this session is.
        """
        if session_id in self._member_by_session:
            return None
        present = self._members.get(user) if user is not None else None
        if present is not None and user is not None:
            self._more[user] = self._more.get(user, 0) + 1
            self._member_by_session[session_id] = present
            return None
        member = Member(session_id, user, name, info)
        self._member_by_session[session_id] = self._members[_key(member)] = member
        return member

    def remove(self, session_id: str) -> Member | None:
        """Remove a session.

        Returns:
            The member, as it joined, if this is a leave; None if the user stays with another session, or the session
            was not here.
        """
        member = self._member_by_session.pop(session_id, None)
        if member is None:
            return None
        if member.user in self._more:
            self._more[member.user] -= 1
            if not self._more[member.user]:
                del self._more[member.user]
            return None
        return self._members.pop(_key(member))

    def members(self) -> list[Member]:
        """Return the members in join order."""
        return list(self._members.values())

    def names(self) -> list[str]:
        """Return the names shown, each once, without members that have none, sorted without case."""
        names = {member.name for member in self._members.values() if member.name}
        return sorted(names, key=lambda name: (name.casefold(), name))

    def __contains__(self, session_id: str) -> bool:
        """Tell whether a session is here, whether or not it made its user join."""
        return session_id in self._member_by_session

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._members)


def _key(member: Member) -> str | tuple[str]:
    return member.user if member.user is not None else (member.session,)
