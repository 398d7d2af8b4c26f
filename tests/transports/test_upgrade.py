"""Who may open a WebSocket: the handshake by the letter, Host, Origin, language, address."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.transports.upgrade import (
    Gate,
    Rejected,
    Request,
    bare_host,
    bearer_token,
    check_handshake,
    choose_subprotocol,
    first_values,
    language_of,
    tokens,
)

HEADERS = {
    "host": "hub.example",
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(method: str = "GET", query: dict[str, str] | None = None, secure: bool = False, **headers: Any) -> Request:
    given = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(
        method=method,
        path="/ws",
        query=query or {},
        headers={name: value for name, value in given.items() if value is not None},
        address="192.0.2.1",
        secure=secure,
    )


def status(check: Any, *arguments: Any) -> int:
    with pytest.raises(Rejected) as caught:
        check(*arguments)
    return caught.value.status


# --- RFC 6455, 4.2 ---------------------------------------------------------------------------------------------------


def test_4_2_2_the_answer_to_the_key_is_that_of_the_rfc() -> None:
    assert check_handshake(request()) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("connection", ["upgrade", "keep-alive, Upgrade", "Upgrade,keep-alive"])
def test_4_2_1_connection_is_a_list_without_case(connection: str) -> None:
    check_handshake(request(connection=connection))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "POST"}, 405),
        ({"connection": "close"}, 400),
        ({"connection": None}, 400),
        ({"connection": "upgrades"}, 400),
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_version": None}, 426),
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": "dGhlIHNhbXBsZQ=="}, 400),
        ({"content_length": "5"}, 400),
        ({"transfer_encoding": "chunked"}, 400),
    ],
)
def test_4_2_1_what_is_no_handshake_is_refused(changes: dict[str, Any], expected: int) -> None:
    assert status(check_handshake, request(**changes)) == expected


def test_a_content_length_of_nothing_is_nothing() -> None:
    check_handshake(request(content_length="0"))


def test_a_wrong_version_is_told_the_right_one() -> None:
    with pytest.raises(Rejected) as caught:
        check_handshake(request(sec_websocket_version="8"))
    assert caught.value.headers["Sec-WebSocket-Version"] == "13"


# --- Host and Origin -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["hub.example", "HUB.example:8080", "[::1]:8080", "[::1]"])
def test_a_host_that_is_listed_is_served(host: str) -> None:
    Gate(hosts=frozenset({"hub.example", "[::1]"})).check(request(host=host))


@pytest.mark.parametrize("host", ["evil.example", "hub.example.evil.example", "evil.example#hub.example", "[::2]"])
def test_a_host_that_is_not_listed_is_421(host: str) -> None:
    assert status(Gate(hosts=frozenset({"hub.example", "[::1]"})).check, request(host=host)) == 421


def test_without_a_host_nothing_is_served() -> None:
    assert status(Gate().check, request(host=None)) == 400


def test_a_program_sends_no_origin_and_may_connect() -> None:
    Gate().check(request())


@pytest.mark.parametrize(
    ("origin", "host", "secure"),
    [
        ("http://hub.example", "hub.example", False),
        ("http://hub.example:8080", "hub.example:8080", False),
        ("https://hub.example", "hub.example", True),
        ("https://hub.example", "hub.example", False),
        ("http://HUB.example", "hub.EXAMPLE", False),
        ("http://hub.example:80", "hub.example", False),
        ("http://[::1]:8080", "[::1]:8080", False),
    ],
)
def test_a_page_of_the_same_host_may_connect(origin: str, host: str, secure: bool) -> None:
    Gate().check(request(origin=origin, host=host, secure=secure))


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://hub.example.evil.example",
        "http://hub.example:8081",
        "http://hub.example@evil.example",
        "http://evil.example/hub.example",
        "http://hub.example/path",
        "ftp://hub.example",
        "hub.example",
        "file://",
        "http://[::1",
    ],
)
def test_a_page_of_another_host_may_not(origin: str) -> None:
    assert status(Gate().check, request(origin=origin)) == 403


def test_a_list_of_origins_is_exact() -> None:
    gate = Gate(origins=frozenset({"https://app.example"}))
    gate.check(request(origin="https://app.example"))
    for origin in (
        "https://app.example:444",
        "http://app.example",
        "https://app.example/",
        "https://hub.example",
        "null",
    ):
        assert status(gate.check, request(origin=origin)) == 403


def test_null_is_nobodys_origin_whatever_the_list_says() -> None:
    assert status(Gate(origins=frozenset({"null"})).check, request(origin="null")) == 403


# --- The rest of the head --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "accepted", "expected"),
    [
        ({"lang": "fr"}, "en", "fr"),
        ({"lang": "fr-CA"}, "en", "fr"),
        ({"lang": "de"}, "fr", "fr"),
        ({}, "fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ({}, "en;q=0.5, fr;q=0.9", "fr"),
        ({}, "de, en;q=0.1", "en"),
        ({}, "fr;q=x, en", "en"),
        ({}, "de", "en"),
        ({}, "", "en"),
    ],
)
def test_the_language_is_asked_for_in_the_query_then_in_the_header(
    query: dict[str, str], accepted: str, expected: str
) -> None:
    assert language_of(request(query=query, accept_language=accepted), "en") == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("Bearer", None), ("", None)],
)
def test_a_bearer_token_is_read_from_its_header_only(header: str, expected: str | None) -> None:
    assert bearer_token(request(authorization=header)) == expected


def test_the_first_subprotocol_of_the_client_that_is_known_is_chosen() -> None:
    assert choose_subprotocol(["x", "mqtt", "chappe.v1"], ["chappe.v1", "mqtt"]) == "mqtt"
    assert choose_subprotocol(["x"], ["chappe.v1"]) is None
    assert choose_subprotocol([], ["chappe.v1"]) is None


def test_of_a_parameter_that_comes_twice_the_first_counts_and_too_many_are_refused() -> None:
    assert first_values("a=1&a=2&b=&c") == {"a": "1", "b": "", "c": ""}
    with pytest.raises(ValueError, match="too many"):
        first_values("&".join(f"p{number}=1" for number in range(200)))


def test_lists_in_headers_have_no_empty_elements() -> None:
    assert tokens(" a, ,b ,") == ["a", "b"]


@pytest.mark.parametrize(("host", "expected"), [("A.b:1", "a.b"), ("a", "a"), ("[::1]:80", "[::1]"), ("", "")])
def test_a_bare_host_has_no_port(host: str, expected: str) -> None:
    assert bare_host(host) == expected
