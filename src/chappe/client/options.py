"""The options that every client takes, with their defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict, get_args
from urllib.parse import urlsplit

from chappe.client.connection import Transport
from chappe.client.reconnection import Jitter, ReconnectionPolicy
from chappe.model.errors import LocalProtocolError

if TYPE_CHECKING:
    import ssl

HeartbeatProfile: TypeAlias = Literal["standard", "mobile"]
#: From best to worst: the order in which they are tried by default.
TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "sse", "polling")


class ConnectionOptions(TypedDict, total=False):
    """Keyword arguments of every `connect` of this package.

    Attributes:
        headers: HTTP headers of the opening handshake.
        reconnect_interval_ms: attempt n waits up to `reconnect_interval_ms * 2 ** (n - 1)`; default 1,000.
        reconnect_max_ms: the longest wait; default 30,000.
        jitter: `full` (default) draws each wait between 0 and that bound, `none` waits all of it.
        max_attempts: attempts in a row before giving up; 0 (default) is for ever.
        retry_first: also retry when the very first connection fails; by default that raises.
        open_timeout_s: for one attempt, from the dial to the server's acceptance; default 10.
        heartbeat_interval_s: seconds between WebSocket pings; default 30; 0 is none.
        pong_timeout_s: how long a pong may take before the connection counts as dead; default 10.
        max_message_bytes: largest message taken; a larger one closes with 1009; default 16 MiB.
        compression: `deflate` (default) offers permessage-deflate, `none` does not.
        ssl: TLS settings for `wss://`; by default the system's authorities and host names are checked.
        origin: value of the Origin header; programs send none.
        proxy: URL of an HTTP or SOCKS proxy; None for none; by default what the environment says.
    """

    headers: Mapping[str, str]
    reconnect_interval_ms: int
    reconnect_max_ms: int
    jitter: Jitter
    max_attempts: int
    retry_first: bool
    open_timeout_s: float
    heartbeat_interval_s: float
    pong_timeout_s: float
    max_message_bytes: int
    compression: Literal["deflate", "none"]
    ssl: "ssl.SSLContext | None"
    origin: str | None
    proxy: str | Literal[True] | None


class BatchOptions(ConnectionOptions, total=False):
    """`ConnectionOptions` of clients that may gather what they send.

    Attributes:
        batch_ms: gather small messages for so long and send them as one; default 0: off. 200 saves a phone's radio.
        batch_max: but never more than so many; default 10.
    """

    batch_ms: int
    batch_max: int


class HubOptions(BatchOptions, total=False):
    """`BatchOptions` of clients of a hub, which has other ways in than a WebSocket.

    Attributes:
        transports: tried in this order until one gets through; default `("websocket", "sse", "polling")`.
        websocket_timeout_s: for each attempt that has another one to fall back to, the first above all; default 5.
        heartbeat: `mobile` pings after 60 s without a message, and 300 s in background; `standard` (default) every
            `heartbeat_interval_s`.
    """

    transports: tuple[Transport, ...]
    websocket_timeout_s: float
    heartbeat: HeartbeatProfile


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`HubOptions` with the defaults filled in, and where to connect; by default by WebSocket alone."""

    url: str
    subprotocols: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    reconnect_interval_ms: int = 1_000
    reconnect_max_ms: int = 30_000
    jitter: Jitter = "full"
    max_attempts: int = 0
    retry_first: bool = False
    open_timeout_s: float = 10.0
    heartbeat_interval_s: float = 30.0
    pong_timeout_s: float = 10.0
    max_message_bytes: int = 16 * 1_048_576
    compression: Literal["deflate", "none"] = "deflate"
    ssl: "ssl.SSLContext | None" = None
    origin: str | None = None
    proxy: str | Literal[True] | None = True
    batch_ms: int = 0
    batch_max: int = 10
    transports: tuple[Transport, ...] = ("websocket",)
    websocket_timeout_s: float = 5.0
    heartbeat: HeartbeatProfile = "standard"

    def __post_init__(self) -> None:
        known = [name for name in self.transports if name in TRANSPORTS]
        if not known or len(known) < len(self.transports) or len(set(known)) < len(known):
            raise LocalProtocolError(f"transports is {self.transports!r}, expected some of {TRANSPORTS!r}, each once")
        if self.heartbeat not in get_args(HeartbeatProfile):
            raise LocalProtocolError(f"heartbeat is {self.heartbeat!r}, expected 'standard' or 'mobile'")
        if self.batch_ms < 0 or self.batch_max < 1:
            told = f"batch_ms is {self.batch_ms} and batch_max {self.batch_max}"
            raise LocalProtocolError(f"{told}, expected 0 or more and 1 or more")

    @property
    def through(self) -> str:
        """Return what to add to an address that is dialed through a proxy named here, without its password."""
        if not isinstance(self.proxy, str):
            return ""
        return f" through the proxy {urlsplit(self.proxy).netloc.rpartition('@')[2]}"

    @property
    def policy(self) -> ReconnectionPolicy:
        """Return how reconnection waits."""
        return ReconnectionPolicy(
            interval_ms=self.reconnect_interval_ms,
            max_ms=self.reconnect_max_ms,
            jitter=self.jitter,
            max_attempts=self.max_attempts,
        )


def websocket_url(url: str) -> str:
    """Accept what people write: `http://` and `https://` become `ws://` and `wss://`, a fragment is dropped.

    Raises:
        LocalProtocolError: no URL of a WebSocket.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise LocalProtocolError(f"{url!r} is no URL: {error}, expected ws://HOST:PORT/PATH") from None
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname or port == 0:
        raise LocalProtocolError(f"{url!r} is no WebSocket URL, expected ws://HOST:PORT/PATH or wss://HOST/PATH")
    return parts._replace(scheme=scheme, path=parts.path or "/", fragment="").geturl()


def http_base(url: str) -> tuple[str, str]:
    """Return where `poll`, `send` and `events` are, beside the WebSocket of a URL, and the query it has.

    The base ends with a slash: `ws://hub/realtime/ws?lang=fr` has `http://hub/realtime/` and `lang=fr`.
    """
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "wss" else "http"
    base = parts._replace(scheme=scheme, path=parts.path.rpartition("/")[0] + "/", query="", fragment="")
    return base.geturl(), parts.query
