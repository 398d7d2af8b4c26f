"""Where an outside broker is, and what it must be shown to let us in."""

import ssl
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec

from chappe.model.errors import ConfigurationError

Version: TypeAlias = Literal["5", "3.1.1"]
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "mqtt+ws": 80, "mqtt+wss": 443}
SCHEMES: Final = frozenset(_PORTS)
#: The path of MQTT over WebSocket, as most brokers have it.
_PATH: Final = "/mqtt"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what connecting needs.

    Attributes:
        websocket_path: where the broker takes WebSocket; empty: it is TCP.
        ca_file: the authorities (PEM) that are believed; empty: the system's.
        cert_file, key_file: a certificate to show; the key may be in the same file.
        insecure: any certificate is believed, whoever shows it.
    """

    host: str
    port: int
    tls: bool = False
    websocket_path: str = ""
    username: str = ""
    password: str = ""
    version: Version = "5"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure: bool = False
    keepalive_s: int = 60

    @property
    def peer(self) -> str:
        """The URL without credentials."""
        scheme = f"mqtt{'+ws' if self.websocket_path else ''}{'s' if self.tls else ''}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{self.websocket_path}"

    @property
    def is_plain(self) -> bool:
        """Whether a password would go over the network as it is: no TLS, and not to this machine."""
        return bool(self.password) and not self.tls and self.host not in ("127.0.0.1", "::1", "localhost")

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what TLS needs; None without TLS.

        Raises:
            ConfigurationError: a file is not there, or is not what it should be.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"ca_file {self.ca_file}: {_reason(error)}") from None
        if self.cert_file:
            try:
                context.load_cert_chain(self.cert_file, self.key_file or None)
            except (OSError, ssl.SSLError) as error:
                raise ConfigurationError(f"cert_file {self.cert_file}: {_reason(error)}") from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse(url: str) -> tuple[Address, str]:
    """Read a URL: the address, with the credentials that it names, and the path behind it (a topic).

    With `mqtt+ws` the path is where the broker takes WebSocket.

    Raises:
        ConfigurationError: the URL is not understood; the text never shows its password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"the URL cannot be read: {error}") from None
    scheme = {"ws": "mqtt+ws", "wss": "mqtt+wss"}.get(parts.scheme, parts.scheme)
    if scheme not in SCHEMES:
        raise ConfigurationError(f"the scheme is {scheme[:30]!r}, expected one of {', '.join(sorted(SCHEMES))}")
    if not parts.hostname:
        raise ConfigurationError(f"the URL names no host, expected {scheme}://host:port")
    if port == 0:
        raise ConfigurationError("the port is 0, expected 1 to 65535")
    websocket = scheme.startswith("mqtt+")
    path = parts.path + (f"?{parts.query}" if parts.query else "") + (f"#{parts.fragment}" if "#" in url else "")
    address = Address(
        host=parts.hostname,
        port=port or _PORTS[scheme],
        tls=scheme in ("mqtts", "mqtt+wss"),
        websocket_path=(path or _PATH) if websocket else "",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
    return address, "" if websocket else unquote(path[1:])


def read_password(path: str) -> str:
    """Return the first line of a file.

    Raises:
        ConfigurationError: it cannot be read, or is empty.
    """
    try:
        lines = Path(path).expanduser().read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"password_file {path}: {_reason(error)}") from None
    if not lines or not lines[0]:
        raise ConfigurationError(f"password_file {path}: its first line is empty, expected a password")
    return lines[0]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
