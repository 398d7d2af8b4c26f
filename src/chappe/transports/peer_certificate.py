"""The certificate that a TLS client showed, for who maps it to an identity."""

import ssl
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import msgspec

#: Where an app finds the certificate of its client in `scope["extensions"]`, under a server of ours.
EXTENSION: Final = "chappe.certificate"


class PeerCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified certificate says of its owner; compare exactly, never by a part.

    Attributes:
        subject: name and value of each part in the order of the certificate: `("commonName", "ada")`.
        names: kind and value of each alternative name: `("DNS", "sensor-7.example.org")`, `("URI", "urn:dev:7")`.
        serial: its number, in hexadecimal; unique for its issuer.
        issuer: as `subject`.
        issued_at, expires_at: when it begins and ends, seconds since 1970.
    """

    subject: tuple[tuple[str, str], ...]
    names: tuple[tuple[str, str], ...]
    serial: str
    issuer: tuple[tuple[str, str], ...]
    issued_at: float
    expires_at: float

    @property
    def common_name(self) -> str:
        """The only common name; empty if there is none or more than one, which could be read differently."""
        found = [value for name, value in self.subject if name == "commonName"]
        return found[0] if len(found) == 1 else ""


def read_certificate(decoded: Mapping[str, Any] | None) -> PeerCertificate | None:
    """Return what `ssl.SSLSocket.getpeercert()` tells; None without a verified certificate."""
    if not decoded:
        return None
    return PeerCertificate(
        subject=_parts(decoded.get("subject", ())),
        names=tuple((str(kind), str(value)) for kind, value in decoded.get("subjectAltName", ())),
        serial=str(decoded.get("serialNumber", "")),
        issuer=_parts(decoded.get("issuer", ())),
        issued_at=float(ssl.cert_time_to_seconds(decoded["notBefore"])),
        expires_at=float(ssl.cert_time_to_seconds(decoded["notAfter"])),
    )


def certificate_of(scope: MutableMapping[str, Any]) -> PeerCertificate | None:
    """Return the certificate of the client of a request, or None: it has none, or the server is another."""
    found = scope.get("extensions", {}).get(EXTENSION)
    return found if isinstance(found, PeerCertificate) else None


def _parts(name: tuple[tuple[tuple[str, str], ...], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(part for parts in name for part in parts)
