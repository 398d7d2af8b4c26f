"""What a `redis://` URL says."""

import ssl
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote

import msgspec

from chappe.model.errors import ConfigurationError

Layout = Literal["servers", "sentinel", "cluster"]

_LAYOUTS: Final[dict[str, Layout]] = {
    "redis": "servers",
    "rediss": "servers",
    "redis+sentinel": "sentinel",
    "redis+cluster": "cluster",
}
SCHEMES: Final = frozenset(_LAYOUTS)
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
#: Parts a cluster's channels are spread over: many beside its nodes, few beside its channels.
_CLUSTER_PARTITIONS: Final = 64
#: An answer that takes longer never comes: the longest sensible script takes milliseconds.
DEFAULT_TIMEOUT_S: Final = 5.0
_OPTIONS: Final = ("prefix", "timeout", "durable", "partitions", "tls", "ca", "cert", "key")


class Host(msgspec.Struct, frozen=True, order=True):
    """Name one address that accepts connections."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what connecting needs.

    Attributes:
        layout: `servers` (one, or several that share the channels), `sentinel` or `cluster`.
        hosts: the servers, the sentinels, or some nodes of the cluster.
        service: what the sentinels call the master.
        prefix: what every key and every Redis channel of the hubs begins with.
        timeout_s: how long connecting and any answer may take.
        durable: whether the hub may promise `durable`; the server must then write through to its disk.
        partitions: how many parts a cluster's channels are spread over.
    """

    layout: Layout
    hosts: tuple[Host, ...]
    user: str | None = None
    password: str | None = None
    database: int = 0
    service: str = ""
    prefix: str = "chappe"
    timeout_s: float = DEFAULT_TIMEOUT_S
    durable: bool = False
    partitions: int = _CLUSTER_PARTITIONS
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what TLS connections need, or None without TLS.

        Raises:
            ConfigurationError: a file is not there or holds no certificate.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"broker.url: ca, cert, key: {error}") from error
        return context


def parse(url: str) -> Address:
    """Read a URL; connects to nothing.

    Raises:
        ConfigurationError: the URL is not understood; the text never shows its password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise _wrong(f"the scheme is {scheme[:30]!r}, expected one of {', '.join(sorted(SCHEMES))}")
    rest, _, query = rest.partition("?")
    place, _, rest = rest.partition("/")
    credentials, _, hosts = place.rpartition("@")
    user, colon, password = credentials.partition(":")
    layout: Layout = (
        "sentinel" if scheme.endswith("sentinel") else "cluster" if scheme.endswith("cluster") else "servers"
    )
    options = _options(query)
    path = [part for part in rest.split("/") if part]
    service = path.pop(0) if layout == "sentinel" and path else ""
    if layout == "sentinel" and not service:
        raise _wrong("no service is named, expected redis+sentinel://host1,host2/service")
    if layout == "cluster" and path:
        raise _wrong("a cluster has no databases, expected redis+cluster://host1,host2")
    if layout != "servers" and options.get("durable") == "1":
        raise _wrong("durable=1 needs redis:// or rediss://, as replicas may lack what a master had confirmed")
    return Address(
        layout=layout,
        hosts=_hosts(hosts, _SENTINEL_PORT if layout == "sentinel" else _PORT),
        user=unquote(user) or None,
        password=unquote(password) if colon else None,
        database=_number("the database", path[0] if path else "0", 0, 1_000_000),
        service=unquote(service),
        prefix=options.get("prefix", "chappe"),
        timeout_s=_seconds(options.get("timeout", str(DEFAULT_TIMEOUT_S))),
        durable=options.get("durable") == "1",
        partitions=_number("partitions", options.get("partitions", str(_CLUSTER_PARTITIONS)), 1, 16_384),
        tls=scheme == "rediss" or options.get("tls") == "1",
        ca=options.get("ca"),
        cert=options.get("cert"),
        key=options.get("key"),
    )


def _options(query: str) -> dict[str, str]:
    try:
        options = dict(parse_qsl(query, keep_blank_values=True))
    except ValueError as error:
        raise _wrong(f"the options cannot be read: {error}") from error
    for name in options:
        if name not in _OPTIONS:
            raise _wrong(f"the option {name[:30]!r} is not known, expected one of {', '.join(_OPTIONS)}")
    for name in ("durable", "tls"):
        if options.get(name, "0") not in ("0", "1"):
            raise _wrong(f"{name}={options[name][:30]!r}, expected 0 or 1")
    prefix = options.get("prefix", "chappe")
    if not prefix or not prefix.isprintable() or set(prefix) & set("{} "):
        raise _wrong(f"prefix={prefix[:30]!r}, expected some characters without braces and spaces")
    return options


def _hosts(text: str, port: int) -> tuple[Host, ...]:
    hosts = tuple(_host(each, port) for each in text.split(",") if each)
    if len(set(hosts)) != len(hosts):
        raise _wrong("a host is named twice")
    return hosts or (Host("127.0.0.1", port),)


def _host(text: str, default_port: int) -> Host:
    name, colon, port = text.rpartition(":")
    if text.startswith("["):
        name, _, port = text[1:].partition("]")
        colon, port = port[:1], port[1:]
    elif not colon:
        name, port = text, ""
    if not name or (colon and not port):
        raise _wrong(f"the host is {text[:60]!r}, expected name or name:port")
    return Host(name, _number("the port", port, 1, 65_535) if colon else default_port)


def _number(what: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise _wrong(f"{what} is {text[:30]!r}, expected {least} to {most}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.05 <= seconds <= 60:
        raise _wrong(f"timeout={text[:30]!r}, expected 0.05 to 60 seconds")
    return seconds


def _wrong(problem: str) -> ConfigurationError:
    return ConfigurationError(f"broker.url: {problem}")
