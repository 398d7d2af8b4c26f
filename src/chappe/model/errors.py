"""The errors of Chappe.

- ChappeError: every error has a code of `spec/errors.toml`
    - Refused: a hook or a rule said no
    - RemoteProtocolError: the peer broke the protocol; the connection closes
    - LocalProtocolError: our caller broke the protocol; nothing was sent
    - ConfigurationError: the settings cannot be used
"""

from collections.abc import Mapping
from typing import Any

from chappe.model.error_codes import ERRORS, Code, reason


class ChappeError(Exception):
    """An error with a stable code.

    Attributes:
        code: a number of `spec/errors.toml`, or 1000 to 1999 for an application's own.
        reason: text for people, lower case, no final stop; in English unless it was worded for somebody.
        detail: machine-readable facts, such as the name of the wrong field.
        retry: whether the same request may succeed later.
    """

    def __init__(self, code: int, reason: str = "", *, detail: Mapping[str, Any] | None = None) -> None:
        self.code = int(code)
        self.detail: dict[str, Any] = dict(detail or {})
        self.reason = reason or _default_reason(self.code, self.detail)
        super().__init__(self.code, self.reason)

    @property
    def retry(self) -> bool:
        """Whether the same request may succeed later."""
        info = ERRORS.get(self.code)
        return info.retry if info else False

    def __str__(self) -> str:
        return f"{self.reason} (code {self.code})"


class Refused(ChappeError):
    """Raised by a hook to refuse a connection, a subscription or a publication."""


class RemoteProtocolError(ChappeError):
    """The peer sent what the protocol forbids; close the connection with `close_code`."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(Code.BAD_REQUEST, reason)
        self.close_code = close_code


class LocalProtocolError(ChappeError):
    """Our own caller did what the protocol forbids; nothing was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(Code.BAD_REQUEST, reason)


class ConfigurationError(ChappeError):
    """The settings cannot be used; the text names the setting and what was expected."""

    def __init__(self, reason: str) -> None:
        super().__init__(Code.BAD_REQUEST, reason)


def _default_reason(code: int, parameters: Mapping[str, Any]) -> str:
    if code in ERRORS:
        return reason(code, **parameters)
    return f"application error {code}"
