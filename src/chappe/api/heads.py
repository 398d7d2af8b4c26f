"""The head of a request, as the front door reads it too."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.peer_certificate import certificate_of
from chappe.transports.upgrade import Request, first_values

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Headers that decide who is answered: two of them are read differently by different programs.
_SINGLE = frozenset({"host", "origin", "authorization", "content-length"})
_KNOWN = "chappe.head"
#: More parameters are no request of ours.
_MAX_PARAMETERS = 100


def read_head(scope: Scope) -> Request:
    """Return the head of an ASGI `http` scope; read once, though the gate and the route both look at it.

    Raises:
        ChappeError: 107, a header that there can be only one of comes twice, or the query is none.
    """
    known = scope.get(_KNOWN)
    if isinstance(known, Request):
        return known
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if name in headers and name in _SINGLE:
            raise ChappeError(Code.BAD_REQUEST, f"two {name} headers", detail={"field": name})
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    client = scope.get("client")
    text = scope.get("query_string", b"")
    try:
        query = first_values(text.decode("latin-1")) if text else {}
    except ValueError:
        raise _too_many() from None
    head = scope[_KNOWN] = Request(
        method=scope["method"],
        path=scope["path"],
        query=query,
        headers=headers,
        address=client[0] if client else "",
        secure=scope.get("scheme") == "https",
        certificate=certificate_of(scope),
    )
    return head


def read_parameters(scope: Scope) -> dict[str, str]:
    """Return the query of a request, `lang` and the credential `ticket` apart.

    Raises:
        ChappeError: 107, a parameter comes twice, or there are too many.
    """
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise _too_many() from None
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name in parameters:
            raise ChappeError(Code.BAD_REQUEST, f"{name[:64]}: comes twice", detail={"field": name[:64]})
        parameters[name] = value
    parameters.pop("lang", None)
    parameters.pop("ticket", None)
    return parameters


def _too_many() -> ChappeError:
    text = f"more than {_MAX_PARAMETERS} query parameters"
    return ChappeError(Code.BAD_REQUEST, text, detail={"field": "query"})
