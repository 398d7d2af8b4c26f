"""Credentials of requests: a header, a ticket, or a cookie of a page that may use it."""

import base64
import hashlib
from typing import Any

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.tickets import PREFIX
from chappe.model.errors import ChappeError
from chappe.transports.credentials import CredentialReader, csrf_token, identify
from chappe.transports.peer_certificate import read_certificate
from chappe.transports.upgrade import Request
from tests.hub.harness import Tokens, World

PAGE = "https://app.example"
CLAIMS = Claims(user="ada")
#: When a certificate counts, as `ssl` tells it.
VALID = {"notBefore": "Jan  1 00:00:00 2026 GMT", "notAfter": "Jan  1 00:00:00 2027 GMT"}
READER = CredentialReader(cookie_name="session", origins=frozenset({PAGE}))


def request(method: str = "GET", query: Any = None, **headers: str) -> Request:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method=method, path="/ws", query=query or {}, headers=fields, address="192.0.2.1")


def test_a_header_counts_before_a_ticket_and_a_ticket_before_a_cookie() -> None:
    ticket = {"ticket": PREFIX + "x"}
    everything = {"authorization": "Bearer t", "cookie": "session=c", "origin": PAGE}
    assert READER.read(request(query=ticket, **everything)) == "t"
    del everything["authorization"]
    assert READER.read(request(query=ticket, **everything)) == PREFIX + "x"
    assert READER.read(request(**everything)) == "c"
    assert READER.read(request()) is None


@pytest.mark.parametrize("text", ["", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "t", PREFIX.upper()])
def test_a_token_in_place_of_a_ticket_is_a_ticket_that_nobody_gave_out(text: str) -> None:
    assert READER.read(request(query={"ticket": text})) == PREFIX
    assert READER.read(request(query={"token": text, "access_token": text})) is None


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "http://app.example", "https://app.example:443", "https://app.example/", "https://evil.example"],
)
def test_a_cookie_without_exactly_a_listed_origin_proves_nothing(origin: str | None) -> None:
    headers = {"cookie": "session=c"} | ({} if origin is None else {"origin": origin})
    assert READER.read(request(**headers)) is None


def test_no_cookie_is_looked_at_where_none_is_configured() -> None:
    assert CredentialReader().read(request(cookie="session=c; =x", origin=PAGE)) is None


@pytest.mark.parametrize(
    "cookies", ["", "session", "session=", 'session=""', "other=c", "session=a; session=b", "Session=c", "xsession=c"]
)
def test_a_cookie_that_is_not_there_once_is_none(cookies: str) -> None:
    assert READER.read(request(cookie=cookies, origin=PAGE)) is None


@pytest.mark.parametrize("cookies", ["session=c", "a=b; session=c; d=e", 'session="c"', "a;session=c;"])
def test_the_cookie_is_found_among_others(cookies: str) -> None:
    assert READER.read(request(cookie=cookies, origin=PAGE)) == "c"


def test_a_page_that_changes_something_proves_that_it_knows_the_cookie() -> None:
    proof = csrf_token("c")
    assert READER.read(request("POST", cookie="session=c", origin=PAGE, chappe_csrf=proof)) == "c"
    for wrong in (None, "", proof[:-1], csrf_token("d"), "é"):
        shown = {} if wrong is None else {"chappe_csrf": wrong}
        with pytest.raises(ChappeError) as caught:
            READER.read(request("POST", cookie="session=c", origin=PAGE, **shown))
        assert caught.value.code == 101
    # A program shows its key, and needs no proof.
    assert READER.read(request("POST", authorization="Bearer t", cookie="session=c")) == "t"


def test_the_proof_is_what_the_documentation_says() -> None:
    digest = hashlib.sha256(b"chappe-csrf:abc").digest()
    assert csrf_token("abc") == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_a_certificate_names_its_holder_only_where_the_settings_say_how() -> None:
    shown = read_certificate({"subject": ((("commonName", "ada"),),), **VALID})
    asked = Request(method="GET", path="/ws", query={}, headers={}, address="192.0.2.1", certificate=shown)
    assert READER.holder(asked) is None
    assert CredentialReader(certificate_user="cn").holder(request()) is None
    found = CredentialReader(certificate_user="cn").holder(asked)
    assert found is not None
    assert found.user == "ada"


async def test_whoever_is_verified_is_told_and_whoever_is_not_too() -> None:
    hub = World(anonymous=False, authenticator=Tokens(ada=CLAIMS)).hub
    assert await identify(hub, "ada") == CLAIMS
    with pytest.raises(ChappeError):
        await identify(hub, "eve")
