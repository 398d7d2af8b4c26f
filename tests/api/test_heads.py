"""Heads of requests: one meaning for every program on the way."""

from typing import Any

import pytest

from chappe.api.heads import read_head, read_parameters
from chappe.model.errors import ChappeError


def scope(headers: list[tuple[bytes, bytes]] | None = None, query: bytes = b"", **more: Any) -> dict[str, Any]:
    base = {"type": "http", "method": "GET", "path": "/", "headers": headers or [], "query_string": query}
    return base | {"client": ("192.0.2.1", 5), "scheme": "http"} | more


def test_a_head_has_names_in_lower_case_and_the_first_of_each_parameter() -> None:
    head = read_head(scope([(b"Host", b" a "), (b"accept", b"x"), (b"Accept", b"y")], b"lang=fr&lang=en"))
    assert head.headers == {"host": "a", "accept": "x, y"}
    assert head.query == {"lang": "fr"}
    assert (head.address, head.secure) == ("192.0.2.1", False)


def test_a_head_without_a_client_or_over_tls_is_read() -> None:
    head = read_head(scope(client=None, scheme="https"))
    assert (head.address, head.secure) == ("", True)


@pytest.mark.parametrize("name", [b"host", b"origin", b"authorization", b"content-length"])
def test_two_of_what_there_is_one_of_are_refused(name: bytes) -> None:
    with pytest.raises(ChappeError) as caught:
        read_head(scope([(name, b"a"), (name.upper(), b"b")]))
    assert caught.value.detail == {"field": name.decode()}


def test_more_parameters_than_anybody_needs_are_refused() -> None:
    many = b"&".join(b"a%d=1" % n for n in range(101))
    for read in (read_head, read_parameters):
        with pytest.raises(ChappeError) as caught:
            read(scope(query=many))
        assert caught.value.code == 107


def test_parameters_are_what_a_command_asks_without_the_language() -> None:
    assert read_parameters(scope(query=b"channel=a%2Fb&limit=2&lang=fr&after=")) == {
        "channel": "a/b",
        "limit": "2",
        "after": "",
    }
