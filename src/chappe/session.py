"""The public `Session`: a connected client, as hooks get it."""

from typing import Any

import msgspec

from chappe.hub import session as hub_session
from chappe.model.error_codes import Code
from chappe.model.errors import LocalProtocolError
from chappe.protocols import base


class Session:
    """A connected client, as hooks get it; equal and hashable by identity, one for each connection.

    Attributes of a session that ended keep their last values; `send` and `disconnect` then do nothing.
    """

    __slots__ = ("_session", "data")

    def __init__(self, session: hub_session.Session) -> None:
        self._session = session
        #: Whatever the application wants to remember about this client.
        self.data: dict[str, Any] = {}

    @property
    def id(self) -> str:
        """Public id, as others see it."""
        return self._session.id

    @property
    def user(self) -> str | None:
        """Authenticated user, or None."""
        return self._session.user

    @property
    def name(self) -> str:
        """The name shown: the user's, else the one claimed, else empty."""
        return self._session.name

    @property
    def address(self) -> str:
        """IP address of the client."""
        return self._session.peer.address

    @property
    def last_activity(self) -> float:
        """Monotonic seconds (`time.monotonic`) of the last message."""
        return self._session.last_activity

    @property
    def channels(self) -> list[str]:
        """The channels and patterns it is subscribed to."""
        return list(self._session.subscriptions)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for this client to read."""
        return self._session.link.queued_bytes

    async def send(self, value: Any) -> None:
        """Say something to this client only (`message` in chappe.v1); queued when this returns."""
        self._session.send(base.Direct(msgspec.json.encode(value)))

    async def disconnect(self, code: int = Code.DISCONNECTED, reason: str = "") -> None:
        """End the connection with a close code (3000-3499 and 4000-4499: the client comes back).

        Raises:
            LocalProtocolError: an application may not send this code; expected 1000 or 3000 to 4999.
        """
        if code != 1_000 and not 3_000 <= code <= 4_999:
            raise LocalProtocolError(f"close code {code}, expected 1000 or 3000 to 4999")
        self._session.close(code, reason)

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.name or 'anonymous'}>"
