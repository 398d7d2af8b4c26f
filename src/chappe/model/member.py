"""Who is in a channel."""

from typing import Any

import msgspec


class Member(msgspec.Struct, frozen=True, gc=False):
    """One entry of a presence list: an authenticated user, however many sessions, or one session without a user.

    Attributes:
        session: public id of the session that joined; that of a user's first session stays until the user leaves.
        user: authenticated user, or None.
        name: the name shown: the user's, else the one claimed, else empty.
        info: what the token's `info` claim says, shown to everybody; any JSON value, or None.
    """

    session: str
    user: str | None
    name: str
    info: Any = None
