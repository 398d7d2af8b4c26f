"""What a token says, checked: the payload of a JSON Web Token as the hub's `Claims`."""

import json
import re
from typing import Any, Final

import msgspec

from chappe.hub.contracts import Claims
from chappe.model.channels import check_pattern
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.json_shape import json_problem

#: A subject names a channel (`$user/<id>`) and an entry of presence: 255 bytes as a channel name has.
_SUBJECT_BYTES: Final = 255
_TOKEN_ID_BYTES: Final = 255
#: Later moments are no dates.
_YEAR_10000_S: Final = 253_402_300_800
# "+" and "#" would turn `$user/<id>` into a pattern over other people's channels, "/" into another channel.
_FORBIDDEN_IN_SUBJECT: Final = re.compile("[+#/\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: One for all: an empty set of one's own costs 216 bytes.
_NO_SCOPES: Final[frozenset[str]] = frozenset()
_encode: Final = msgspec.json.Encoder().encode


class _Rights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `chappe` claim. A member we do not know may be a restriction that is misspelt, so it is refused."""

    subscribe: list[str] | None = None
    publish: list[str] | None = None
    info: Any = None


_NO_RIGHTS: Final = _Rights()


def refused(problem: str) -> ChappeError:
    """Return the error 101 that tells a problem, which never has a part of the token."""
    return ChappeError(Code.UNAUTHORIZED, detail={"problem": problem})


def read_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object that a part of a token is.

    Raises:
        ChappeError: 101, it is none, is too deep or too wide for any reader, or has a member twice: of two readers each
            may take another one (RFC 7519, section 4).
    """
    try:
        found = msgspec.json.decode(text)
        problem = json_problem(text)
        # What is written again as it came has each member once, as nearly all tokens do; others are read a second time.
        if problem is None and _encode(found) != text:
            json.loads(text, object_pairs_hook=_unique)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise refused("a member comes twice" if isinstance(error, _Twice) else "malformed token") from None
    if problem is not None or not isinstance(found, dict):
        raise refused(problem or "malformed token")
    return found


def read_claims(claims: dict[str, Any], expires_at: float, issued_at: float | None) -> Claims:
    """Return what the claims of a verified token give, with its moments as they count here.

    Raises:
        ChappeError: 101, one of them is of the wrong type or shape; `detail` has which.
    """
    user = claims.get("sub")
    if user is not None:
        check_subject(user)
    scopes = frozenset(texts_of(claims, "scope", words=True)) if "scope" in claims else _NO_SCOPES
    if user is None and not scopes:
        raise refused("sub: is missing")
    token_id = claims.get("jti")
    if token_id is not None and not isinstance(token_id, str):
        raise refused("jti: expected a string")
    if token_id is not None and len(token_id.encode("utf-8", "surrogatepass")) > _TOKEN_ID_BYTES:
        raise refused(f"jti: expected {_TOKEN_ID_BYTES} bytes or fewer")
    try:
        rights = msgspec.convert(claims["chappe"], _Rights) if "chappe" in claims else _NO_RIGHTS
    except msgspec.ValidationError as error:
        text = str(error).replace(" - at `$.", " - at `chappe.")
        raise refused(f"chappe: {text[:1].lower()}{text[1:]}") from None
    return Claims(
        user=user,
        expires_at=expires_at,
        scopes=scopes,
        subscribe=read_patterns("chappe.subscribe", rights.subscribe),
        publish=read_patterns("chappe.publish", rights.publish),
        info=rights.info,
        token_id=token_id,
        issued_at=issued_at,
    )


def check_subject(user: Any) -> None:
    """See that a name may be a user's.

    Raises:
        ChappeError: 101.
    """
    if not isinstance(user, str):
        raise refused("sub: expected a string")
    if not 1 <= len(user.encode("utf-8", "surrogatepass")) <= _SUBJECT_BYTES:
        raise refused(f"sub: expected 1 to {_SUBJECT_BYTES} bytes")
    if _FORBIDDEN_IN_SUBJECT.search(user):
        raise refused("sub: may not contain + # / or control characters")


def read_patterns(name: str, patterns: list[str] | None) -> tuple[str, ...] | None:
    """Return a list of patterns, all of which are some; None stays None.

    Raises:
        ChappeError: 101.
    """
    for index, pattern in enumerate(patterns or ()):
        try:
            check_pattern(pattern)
        except ChappeError as error:
            raise refused(f"{name}[{index}]: {error.reason}") from None
    return None if patterns is None else tuple(patterns)


def moment_of(claims: dict[str, Any], name: str) -> float | None:
    """Return a claim that is seconds since 1970, or None if it is not there.

    Raises:
        ChappeError: 101.
    """
    value = claims.get(name)
    if value is None:
        return None
    # Infinity and NaN would never be reached; the comparison is false for both.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _YEAR_10000_S:
        raise refused(f"{name}: expected seconds since 1970")
    return float(value)


def texts_of(claims: dict[str, Any], name: str, words: bool = False) -> list[str]:
    """Return a claim that is one text or an array of texts (RFC 7519, 4.1.3; RFC 8693, 4.2).

    Raises:
        ChappeError: 101.
    """
    value = claims.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return value.split() if words else [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise refused(f"{name}: expected a string")


class _Twice(ValueError):
    """A member comes twice."""


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise _Twice
