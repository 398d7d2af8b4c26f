"""The certificates of a TLS server: one a name, read again when their files change."""

import asyncio
import contextlib
import logging
import os
import ssl
from typing import Final, Literal

import msgspec

from chappe.model.errors import ConfigurationError

_log = logging.getLogger("chappe.server")

#: Between two looks at the files, seconds.
WATCH_S: Final = 2.0
#: For TLS 1.2: forward secrecy and authenticated encryption, nothing else. TLS 1.3 has no others.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

ClientCertificate = Literal["none", "optional", "required"]
_VERIFY: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where a TLS server finds what it needs (PEM).

    Attributes:
        cert, key: for clients that ask for no name, or for one that no other has; without a key it stands in `cert`.
        extra_certs: `CERT` or `CERT=KEY`, for clients that ask for one of its names.
        client_ca: authorities whose certificates clients may show.
        client_cert: whether they are asked for one, and must have one.
    """

    cert: str
    key: str = ""
    extra_certs: tuple[str, ...] = ()
    client_ca: str = ""
    client_cert: ClientCertificate = "none"

    def pairs(self) -> list[tuple[str, str]]:
        """Return the files of each certificate and of its key, the default first."""
        return [(self.cert, self.key), *((cert, key) for cert, _, key in (e.partition("=") for e in self.extra_certs))]

    def paths(self) -> list[str]:
        """Return every file."""
        return [path for pair in self.pairs() for path in pair if path] + ([self.client_ca] if self.client_ca else [])


class Certificates:
    """Contexts for handshakes, by the name that the client asks for.

    A connection keeps the context that it began with; `reload` is about those to come.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            ConfigurationError: one cannot be used; the text says which.
        """
        self._files = files
        self._signature = _signature(files)
        self._default, self._named = _load(files)

    @property
    def default(self) -> ssl.SSLContext:
        """What serves a client that asks for no name."""
        return self._default

    def make_default(self) -> ssl.SSLContext:
        """Return another context like the default one, for who changes it."""
        return server_context(self._files, self._files.cert, self._files.key)

    @property
    def is_many(self) -> bool:
        """Whether the name matters."""
        return bool(self._named)

    def find(self, name: str | None) -> ssl.SSLContext:
        """Return what serves a client that asks for a name: exact names first, then `*.` for its first label."""
        name = (name or "").lower().rstrip(".")
        return self._named.get(name) or self._named.get("*." + name.partition(".")[2]) or self._default

    def reload(self) -> bool:
        """Read the files again; when one cannot be used, log why, keep what was there and return False."""
        self._signature = _signature(self._files)
        try:
            self._default, self._named = _load(self._files)
        except ConfigurationError as error:
            _log.error("certificates stay as they are: %s", error.reason)
            return False
        _log.info("certificates were read again")
        return True

    async def watch(self) -> None:
        """Reload whenever a file has changed, until cancelled.

        A certificate and its key are two files: between the two changes they do not fit; the second one is seen too.
        """
        while True:
            await asyncio.sleep(WATCH_S)
            if _signature(self._files) != self._signature:
                self.reload()


def server_context(files: TlsFiles, cert: str, key: str) -> ssl.SSLContext:
    """Return what a TLS server needs: TLS 1.2 at least, ciphers of today, HTTP/1.1, no renegotiation.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A password would be asked for at a terminal that nobody looks at.
        context.load_cert_chain(cert, key or None, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"cannot use the certificate {cert!r} with its key: {_words(error)}") from None
    if files.client_cert == "none":
        return context
    try:
        context.load_verify_locations(files.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cannot use server.client_ca {files.client_ca!r}: {_words(error)}") from None
    context.verify_mode = ssl.VerifyMode(_VERIFY[files.client_cert])
    return context


def _load(files: TlsFiles) -> tuple[ssl.SSLContext, dict[str, ssl.SSLContext]]:
    if files.client_cert != "none" and not files.client_ca:
        raise ConfigurationError(f"server.client_cert is {files.client_cert!r}, expected server.client_ca beside it")
    default, *others = files.pairs()
    named: dict[str, ssl.SSLContext] = {}
    for cert, key in others:
        context = server_context(files, cert, key)
        for name in _names(cert):
            named.setdefault(name, context)
    return server_context(files, *default), named


def _names(cert: str) -> list[str]:
    """Return the DNS names of a certificate.

    Raises:
        ConfigurationError: it has none, so that nobody could ask for it.
    """
    from cryptography import x509

    with open(cert, "rb") as file:  # noqa: PTH123 - a Path would be made for nothing
        leaf = x509.load_pem_x509_certificates(file.read())[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    except x509.ExtensionNotFound:
        found = []
    if not found:
        raise ConfigurationError(f"the certificate {cert!r} has no DNS name by which a client could ask for it")
    return found


def _signature(files: TlsFiles) -> list[tuple[int, int, int] | None]:
    found: list[tuple[int, int, int] | None] = []
    for path in files.paths():
        status = None
        with contextlib.suppress(OSError):
            status = os.stat(path)  # noqa: PTH116 - every two seconds
        found.append(status and (status.st_mtime_ns, status.st_size, status.st_ino))
    return found


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "they do not belong together"
        # An encrypted key is one too: OpenSSL was given an empty password.
        is_unreadable = error.library in (None, "", "PEM", "SSL", "X509")
        return "it is no PEM of its kind, or the key is encrypted" if is_unreadable else str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
