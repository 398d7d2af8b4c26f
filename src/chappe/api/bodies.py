"""What a request asks: its body or its query, read up to a limit and decoded into a type."""

import asyncio
import re
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect

from chappe.api.heads import Receive
from chappe.api.problems import HttpError
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.json_shape import json_problem
from chappe.model.limits import Limits
from chappe.protocols.validation import bad_request, explain

T = TypeVar("T")

#: Largest body: that of a WebSocket message, 1 MiB.
MAX_BODY_BYTES: Final = 1_048_576
#: How long a body may take from its first byte to its last; a request head has as long.
BODY_TIMEOUT_S: Final = 10.0

_UNKNOWN_FIELD: Final = re.compile(r"unknown field `([^`]*)`")


async def read_body(receive: Receive, declared: str | None) -> bytes:
    """Read the whole body of a request.

    Args:
        declared: its Content-Length, or None.
    Raises:
        ChappeError: 113, it is too large, which is seen before it is read if it says so; 107 with status 408, slow.
        ClientDisconnect: nobody waits for an answer.
    """
    if declared is not None and declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large(int(declared))
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read(receive)
    except TimeoutError:
        raise HttpError(408, Code.BAD_REQUEST, f"the body did not come within {BODY_TIMEOUT_S:g} seconds") from None


def check_text(body: bytes) -> None:
    """Refuse a body that is no text.

    Raises:
        ChappeError: 107, naming the first byte that is no UTF-8.
    """
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise ChappeError(Code.BAD_REQUEST, f"the body is no UTF-8, at byte {error.start}") from None


def decode_body(body: bytes, kind: type[T], limits: Limits) -> T:
    """Decode a JSON body into a type; an empty body is an object without members.

    Raises:
        ChappeError: 107, naming the field that is wrong, missing or unknown.
    """
    text = body or b"{}"
    # A payload stays as it came, so the parser does not look at its text: invalid UTF-8 would reach subscribers.
    check_text(text)
    try:
        decoded = msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise named(error) from None
    # Counts of the whole body: a list of a thousand channels has as many members as it needs, but is not deep.
    if problem := json_problem(text, limits.json_depth + 2, len(text)):
        raise bad_request("body", problem)
    return decoded


def decode_parameters(parameters: dict[str, str], kind: type[T]) -> T:
    """Turn the query of a GET into a type: `?limit=10` is a number.

    Raises:
        ChappeError: 107, naming the parameter that is wrong, missing or unknown.
    """
    try:
        return msgspec.convert(parameters, kind, strict=False)
    except msgspec.ValidationError as error:
        raise named(error) from None


def named(error: Exception) -> ChappeError:
    """Turn what a decoder says into error 107 that names the field."""
    text = str(error)
    if unknown := _UNKNOWN_FIELD.search(text):
        return bad_request(unknown[1][:64], "is not known here")
    explained = explain(error)
    return explained if explained.code == Code.BAD_REQUEST else bad_request("type", text)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large(size)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(size: int) -> ChappeError:
    text = f"a body of {size} bytes, expected {MAX_BODY_BYTES} or fewer"
    return ChappeError(Code.MESSAGE_TOO_LARGE, text, detail={"limit": MAX_BODY_BYTES, "size": size})
