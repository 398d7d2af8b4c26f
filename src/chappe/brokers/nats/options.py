"""What a URL of NATS says."""

import ssl
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from chappe.model.errors import ConfigurationError

_DEFAULT_PORT: Final = 4222
_SCHEMES: Final = ("nats", "nats+tls")
_STREAM_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class NatsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the servers are, how to log in, and what the streams are like.

    Attributes:
        servers: `host:port` of each.
        user, password, token: credentials of the URL.
        creds, nkey: paths of a credentials file and of a file with the seed of an nkey.
        tls: whether to speak TLS although the server does not ask for it; `tls_ca` is a file with who is trusted.
        stream: name of the main stream and first token of every subject.
        storage: `file` or `memory`, of what is kept.
        replicas: copies of each stream in a cluster, 1 to 5.
        max_bytes: what the main stream may take; 0: what the server allows.
        domain: JetStream domain, or empty.
        timeout_s: how long an answer may take before the connection counts as dead.
    """

    servers: tuple[str, ...]
    user: str = ""
    password: str = ""
    token: str = ""
    creds: str = ""
    nkey: str = ""
    tls: bool = False
    tls_ca: str = ""
    stream: str = "chappe"
    storage: str = "file"
    replicas: int = 1
    max_bytes: int = 0
    domain: str = ""
    timeout_s: float = 5.0

    def login(self) -> dict[str, Any]:
        """Return the arguments of the client that say who we are and whom we trust."""
        wanted: dict[str, Any] = {
            "user": self.user or None,
            "password": self.password or None,
            "token": self.token or None,
            "user_credentials": self.creds or None,
            "nkeys_seed": self.nkey or None,
        }
        if self.tls or self.tls_ca:
            wanted["tls"] = ssl.create_default_context(cafile=self.tls_ca or None)
        return {name: value for name, value in wanted.items() if value is not None}


def parse_url(url: str) -> NatsOptions:
    """Return what a URL such as `nats://user:password@one:4222,two:4222/?storage=memory` says.

    Raises:
        ConfigurationError: it says something that is not known; the text names it, never a password.
    """
    # By hand: several servers are no authority of a URL, and some versions of urlsplit refuse an IPv6 address behind
    # another name.
    scheme, _, rest = url.partition("://")
    scheme = scheme.partition(":")[0].lower()
    rest, _, query = rest.partition("?")
    place, _, path = rest.partition("/")
    if "://" not in url or scheme not in _SCHEMES:
        raise ConfigurationError(f"broker.url: {scheme!r} is not known, expected nats:// or nats+tls://")
    if path:
        raise ConfigurationError("broker.url: it has a path, expected nats://host:port/?option=value")
    login, _, hosts = place.rpartition("@")
    name, colon, password = login.partition(":")
    given: dict[str, Any] = dict(_option(*pair) for pair in parse_qsl(query, keep_blank_values=True))
    if colon:
        given |= {"user": unquote(name), "password": unquote(password)}
    elif name:
        given["token"] = unquote(name)
    servers = tuple(_server(host) for host in hosts.split(","))
    options = NatsOptions(servers=servers, **{"tls": scheme == "nats+tls", **given})
    _check(options)
    return options


def _option(name: str, text: str) -> tuple[str, object]:
    field = {each.name: each for each in msgspec.structs.fields(NatsOptions)}.get(name)
    if field is None or name in ("servers", "user", "password", "token"):
        raise ConfigurationError(f"broker.url: option {name!r} is not known")
    try:
        return name, msgspec.convert(text, field.type, strict=False)
    except msgspec.ValidationError:
        raise ConfigurationError(f"broker.url: option {name} has a value of another kind than expected") from None


def _server(host: str) -> str:
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        name, port = None, 0
    if not name or not port or parts.netloc != host:
        raise ConfigurationError(f"broker.url: {host!r} is no server, expected host:port")
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _check(options: NatsOptions) -> None:
    if options.storage not in ("file", "memory"):
        raise ConfigurationError(f"broker.url: storage {options.storage!r} is not known, expected file or memory")
    if not options.stream or not set(options.stream) <= _STREAM_CHARACTERS:
        raise ConfigurationError("broker.url: a stream has letters, digits, - and _ in its name")
    if not 1 <= options.replicas <= 5:
        raise ConfigurationError(f"broker.url: replicas is {options.replicas}, expected 1 to 5")
    if not 0.1 <= options.timeout_s <= 60:
        raise ConfigurationError(f"broker.url: timeout_s is {options.timeout_s}, expected 0.1 to 60")
    if options.max_bytes < 0:
        raise ConfigurationError(f"broker.url: max_bytes is {options.max_bytes}, expected 0 or more")
