"""A certificate authority for tests: servers, clients, and certificates that nobody should accept."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_NOW = datetime.datetime.now(datetime.UTC)


class Issued:
    """The files of a certificate."""

    def __init__(self, cert: Path, key: Path) -> None:
        self.cert = str(cert)
        self.key = str(key)

    def join(self) -> None:
        """Write the key behind the certificate, into one file."""
        with Path(self.cert).open("a") as file:
            file.write(Path(self.key).read_text())


class Authority:
    """Issues certificates into a folder.

    Attributes:
        cert: file of its own certificate.
    """

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name)
        self._count = 0
        extensions = x509.BasicConstraints(ca=True, path_length=0)
        signed = self._sign(self._name, self._key, _span(-1, 1), [(extensions, True)])
        self.cert = str(folder / f"{name.replace(' ', '-')}.pem")
        Path(self.cert).write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, common_name: str, *names: str, days: tuple[int, int] = (-1, 1), to: Issued | None = None) -> Issued:
        """Issue a certificate for DNS names, addresses and URIs.

        Args:
            days: from when to when it is valid, from now.
            to: files to write over.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        found: list[x509.GeneralName] = [_general(name) for name in names]
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=False, path_length=None), True)]
        if found:
            extensions.append((x509.SubjectAlternativeName(found), False))
        signed = self._sign(_subject(common_name), key, _span(*days), extensions)
        return self._write(key, signed, to)

    def sign_itself(self, name: str) -> Issued:
        """Return this authority's own key with a certificate that it made for itself, for a server."""
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.SubjectAlternativeName([_general(name)]), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
        ]
        return self._write(self._key, self._sign(self._name, self._key, _span(-1, 1), extensions), None)

    def _write(self, key: ec.EllipticCurvePrivateKey, signed: x509.Certificate, to: Issued | None) -> Issued:
        self._count += 1
        base = self._folder / f"{id(self)}-{self._count}"
        files = to or Issued(base.with_suffix(".pem"), base.with_suffix(".key"))
        Path(files.key).write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        Path(files.cert).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return files

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        span: tuple[datetime.datetime, datetime.datetime],
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(span[0])
            .not_valid_after(span[1])
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _span(begin: int, end: int) -> tuple[datetime.datetime, datetime.datetime]:
    return _NOW + datetime.timedelta(days=begin), _NOW + datetime.timedelta(days=end)


def _general(name: str) -> x509.GeneralName:
    if ":" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
