"""Tokens: where they come from, and when they have to be replaced."""

import base64
import binascii
import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

from chappe.client.errors import CUT, ConnectionLost
from chappe.model.errors import ChappeError

Token: TypeAlias = str | Callable[[], "str | Awaitable[str | None] | None"] | None
"""A token, or what gives one: called (and awaited) before every connection and before the present token expires."""

#: Seconds before `exp` at which a newer token is fetched; for short lives a quarter of what is left.
_MARGIN_S: Final = 60.0
#: A token that the hub took although it has expired by our clock says that our clock is wrong.
_CLOCK_AHEAD_S: Final = 30.0
#: At most so often: a clock may be ahead by almost the whole life of a token.
_LEAST_S: Final = 0.5


class _Claims(msgspec.Struct):
    exp: float | None = None


async def fetch(token: Token) -> str | None:
    """Return the token to connect with now.

    Raises:
        ConnectionLost: the function that gives tokens failed; that counts as a failed attempt.
    """
    if token is None or isinstance(token, str):
        return token
    try:
        given = token()
        return await given if inspect.isawaitable(given) else given
    except ChappeError:
        raise
    except Exception as error:
        raise ConnectionLost(CUT, f"the token function failed: {error!r}") from error


def expiry(token: str) -> float | None:
    """Return when a JWT expires, seconds since 1970, or None: it does not say. The signature is the hub's affair."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(claims, type=_Claims).exp
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


def refresh_delay_s(expires: float, now: float) -> float:
    """Return how long to wait before fetching a newer token; both times are seconds since 1970."""
    left = expires - now
    return max(left - min(_MARGIN_S, left / 4), _LEAST_S) if left > 0 else _CLOCK_AHEAD_S
