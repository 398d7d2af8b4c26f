"""Certificates of clients: the one name that is asked for, if it can be a user's."""

from typing import Any

import pytest

from chappe.transports.certificates import certificate_claims
from chappe.transports.peer_certificate import PeerCertificate, read_certificate

SINCE, UNTIL = "Jan  1 00:00:00 2026 GMT", "Jan  1 00:00:00 2027 GMT"


def certificate(*names: str, **more: Any) -> PeerCertificate | None:
    subject = tuple((("commonName", name),) for name in names)
    return read_certificate(
        {"subject": ((("organizationName", "Example"),), *subject), "notBefore": SINCE, "notAfter": UNTIL} | more
    )


def test_the_common_name_is_the_user_until_the_certificate_ends() -> None:
    claims = certificate_claims(certificate("ada"), "cn")
    assert claims is not None
    assert (claims.user, claims.expires_at, claims.scopes) == ("ada", 1_798_761_600.0, frozenset())
    assert claims.issued_at == 1_767_225_600.0


def test_two_certificates_with_one_number_are_told_apart_by_their_issuers() -> None:
    ours, theirs = (
        certificate_claims(certificate("ada", serialNumber="1F", issuer=((("commonName", name),),)), "cn")
        for name in ("ours", "theirs")
    )
    assert ours is not None
    assert theirs is not None
    assert (ours.token_id, theirs.token_id) == ("certificate:1F:commonName=ours", "certificate:1F:commonName=theirs")


def test_an_alternative_name_of_the_kind_asked_for_is_the_user() -> None:
    names = (("DNS", "one.example"), ("email", "ada@example"), ("IP Address", "192.0.2.1"))
    shown = certificate("x", subjectAltName=names)
    for kind, user in (("dns", "one.example"), ("email", "ada@example")):
        claims = certificate_claims(shown, kind)  # type: ignore[arg-type]
        assert claims is not None
        assert claims.user == user


@pytest.mark.parametrize(
    "shown",
    [
        None,
        certificate(),
        certificate("a", "b"),
        certificate(""),
        certificate("#"),
        certificate("a/b"),
        certificate("a+b"),
        certificate("a\nb"),
        certificate("x" * 256),
    ],
)
def test_a_certificate_that_names_no_user_is_nobodys(shown: PeerCertificate | None) -> None:
    assert certificate_claims(shown, "cn") is None


def test_two_alternative_names_are_none() -> None:
    shown = certificate(subjectAltName=(("DNS", "one.example"), ("DNS", "two.example")))
    assert certificate_claims(shown, "dns") is None


def test_names_count_only_if_the_configuration_says_so() -> None:
    assert certificate_claims(certificate("ada"), "") is None
