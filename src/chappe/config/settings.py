"""Hold the settings of a hub as frozen values, one Struct a section of `chappe.toml`.

Every field has its default here and nowhere else, its unit in its name and, below it, the sentence that the reference
(docs/reference/configuration.md) prints. Defaults are safe: without configuration nobody may do anything.
"""

import datetime
from typing import Annotated, Literal

import msgspec

from chappe.hub.mqtt import MqttOptions
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.model.errors import ConfigurationError
from chappe.model.frame import SlowConsumer
from chappe.model.limits import Limits
from chappe.telemetry import LogOptions, default_log_file
from chappe.transports.certificates import CertificateName
from chappe.transports.poll_link import PollOptions

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
#: So much clocks of servers may be apart; more would make `exp` a suggestion.
Leeway = Annotated[float, msgspec.Meta(ge=0, le=300)]
Names = str | tuple[str, ...]
Language = Literal["en", "fr"]
RootProtocol = Literal["classic", "broadcast", "echo", "chappe.v1"]
Preset = Literal["", "strict", "high-load"]
DeliveryLevel = Literal["live", "recoverable", "durable"]
Right = Literal["nobody", "anonymous", "user", "token", "hook"]
SlowPolicy = Literal["disconnect", "drop_oldest", "latest"]
LogLevel = Literal["ERROR", "WARNING", "INFO", "DEBUG"]
LogFormat = Literal["text", "json"]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Be one table of the configuration file."""


class ServerSettings(Section, frozen=True, kw_only=True):
    """Say where the hub listens and how it starts and stops."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback, because a hub that nobody configured should not be reachable."""
    port: Port = 8080
    """TCP port of HTTP and WebSocket; 0 takes a free one and logs which."""
    workers: Positive = 1
    """Processes that share the port; more than one needs a broker that they share."""
    root_protocol: RootProtocol = "classic"
    """What a WebSocket on `/` speaks when it names no subprotocol."""
    cert: str = ""
    """File with the certificate chain (PEM); with `key` it turns TLS on."""
    key: str = ""
    """File with the private key of `cert` (PEM)."""
    extra_certs: tuple[str, ...] = ()
    """Certificates for clients that ask for one of their names (SNI): `CERT.pem=KEY.pem`, or one file with both."""
    client_ca: str = ""
    """File with the authorities (PEM) whose certificates clients may show."""
    client_cert: Literal["none", "optional", "required"] = "none"
    """Whether TLS clients are asked for a certificate (`optional`), and refused without one (`required`)."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may connect, exactly as browsers send them; empty means the hub's own host only."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of the Host header that are answered, against DNS rebinding; empty means the address listened on."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-*` and PROXY headers are believed, such as `10.0.0.0/8`."""
    default_language: Language = "en"
    """Language of error texts for clients that ask for none."""
    preset: Preset = ""
    """A set of defaults: `strict` (small limits) or `high-load` (outgoing messages gathered for 50 ms)."""
    batch_window_ms: Count = 0
    """Milliseconds outgoing messages wait for company; 0 flushes at the end of each turn of the loop."""
    data_plane: Literal["auto", "native", "portable"] = "auto"
    """How WebSocket bytes move: `native` (Linux, plain TCP, compiled), `portable` (asyncio), `auto`: what can."""
    compression: Literal["deflate", "off"] = "deflate"
    """Whether permessage-deflate is offered."""
    compression_min_bytes: Count = 1024
    """Messages from this size on are compressed; below, deflate costs more than it saves."""
    drain_timeout_s: Seconds = 20.0
    """Seconds a stopping hub waits for its clients to leave; less than the 30 s most supervisors allow."""
    head_bytes: Positive = 16384
    """Largest request head; the size that common proxies allow."""
    head_timeout_s: Seconds = 10.0
    """Seconds a client has to send its request head (slow-loris attack)."""
    connections_max: Count = 0
    """Connections the hub holds in all; 0 leaves it to the limit of file descriptors."""
    watchdog_s: Seconds = 10.0
    """Seconds the event loop may stand still before its stack is logged; 0 turns the watchdog off."""
    dev: bool = False
    """Whether the hub runs with `--dev`; only the command line may say so."""


class BrokerSettings(Section, frozen=True, kw_only=True):
    """Say where publications are kept and how hubs share them."""

    url: str = "memory://"
    """Broker to use: `memory://`, `sqlite:///path/file.db` (one process), `redis://` or `nats://` (shared by hubs)."""


class AuthSettings(Section, frozen=True, kw_only=True):
    """Say whose tokens the hub accepts."""

    hmac_secret_file: str = ""
    """File whose content signs and verifies HS256 tokens; `chappe token create` reads the same file."""
    jwks_url: str = ""
    """Where the issuer publishes its keys; fetched at most once a minute, redirects refused."""
    jwks_refresh_s: Seconds = 3600.0
    """Seconds after which published keys are fetched anew though no unknown one was asked for."""
    public_keys: tuple[str, ...] = ()
    """Files with public keys (PEM) that verify tokens."""
    algorithms: tuple[str, ...] = ("EdDSA",)
    """Signature algorithms accepted; one list, since a token must not choose how it is checked."""
    audience: Names = "chappe"
    """The `aud` a token must have; of several, one."""
    issuer: Names = ""
    """The `iss` a token must have, or one of several; empty accepts any issuer whose key is known."""
    leeway_s: Leeway = 1.0
    """Seconds that the issuer's clock may be apart: `exp` counts so much later, `nbf` and `iat` so much earlier."""
    webhook_url: str = ""
    """Service that is asked whose an opaque token is: `POST {"token": ".."}`."""
    webhook_cache_s: Seconds = 10.0
    """Seconds that an answer of the service counts; so long a withdrawn token still opens sessions."""
    authorize_url: str = ""
    """Where to ask who may subscribe and publish in namespaces that say `hook`; empty: the hooks of the application."""
    authorize_timeout_s: Seconds = 5.0
    """Seconds to wait for its answer; then the answer is no (108)."""
    authorize_cache_s: Seconds = 10.0
    """Seconds an answer holds; 0 asks each time."""
    cookie_name: str = ""
    """Cookie that holds a token; it counts only for pages of `server.allowed_origins`."""
    certificate_user: CertificateName = ""
    """Part of a client certificate that names the user: `cn`, `dns` or `email` (of the alternative names)."""
    insecure_http: bool = False
    """Whether keys and the services may be asked over plain HTTP on another machine."""
    anonymous: bool = False
    """Whether sessions without a token are let in; what they may do is up to each namespace."""


class IssuerSettings(Section, frozen=True, kw_only=True):
    """Accept the tokens of one more issuer, signed with its own keys and no others."""

    issuer: Names = ""
    """The `iss` of its tokens, or several."""
    audience: Names = ""
    """The `aud` that its tokens must have, of several one; empty means that of `[auth]`."""
    algorithms: tuple[str, ...] = ("RS256",)
    """Signature algorithms accepted from it."""
    jwks_url: str = ""
    """Where it publishes its keys."""
    public_keys: tuple[str, ...] = ()
    """Files with public keys (PEM) of its own."""
    scopes: tuple[str, ...] = ()
    """Scopes its tokens may give, such as `api`; others are passed over: it may mean something else by the word."""


class ApiSettings(Section, frozen=True, kw_only=True):
    """Say who may call the HTTP API."""

    keys_file: str = ""
    """File of hashed API keys, one `name:sha256hex` a line, made by `chappe token create --api`."""
    insecure_open: bool = False
    """Whether `/api` answers without a key; `--dev` sets it."""


class UserSettings(Section, frozen=True, kw_only=True):
    """Describe one user who logs in with a password, over MQTT or at the console."""

    password_hash: str = ""
    """What `chappe token password` printed."""


class RedisBridgeSettings(Section, frozen=True, kw_only=True):
    """Join channels of plain Redis Pub/Sub with channels of the hub, both ways."""

    url: str = "redis://127.0.0.1:6379"
    """Server, or `redis+sentinel://`; it needs not be the broker's."""
    channels: tuple[str, ...] = ()
    """Pairs of a Redis channel and a channel of the hub, such as `legacy.news=news/all`."""

    def pairs(self) -> dict[str, str]:
        """Return the channels of the hub by those of Redis.

        Raises:
            ConfigurationError: an entry is no pair.
        """
        pairs = dict(entry.partition("=")[::2] for entry in self.channels)
        for name, channel in pairs.items():
            if not name or not channel:
                raise ConfigurationError(
                    f"redis_bridges: {name or channel!r} is no pair, expected redis.channel=channel"
                )
        return pairs


class MqttBridgeSettings(Section, frozen=True, kw_only=True):
    """Join topics of an outside MQTT broker with channels of the hub, in, out or both ways."""

    url: str = "mqtt://127.0.0.1:1883"
    """Broker: `mqtt://`, `mqtts://` (TLS), or `mqtt+ws://`, `mqtt+wss://` with a path (WebSocket)."""
    topics: tuple[str, ...] = ()
    """Lines as mosquitto's bridges have them: `pattern [out|in|both [qos [local-prefix [remote-prefix]]]]`."""
    username: str = ""
    """User to log in as."""
    password: str = ""
    """Its password; better in `password_file`, or in a variable such as `CHAPPE_MQTT_BRIDGES__HOME__PASSWORD`."""
    password_file: str = ""
    """File whose first line is the password."""
    protocol: Literal["5", "3.1.1"] = "5"
    """Version of MQTT; with 3.1.1 headers stay behind, and the retain flag is only known of what was there before."""
    client_id: str = ""
    """Client id; empty: one is made and kept in the hub's broker (with `memory://` for as long as the hub runs)."""
    ca_file: str = ""
    """File with the authorities (PEM) that are believed; empty: the system's."""
    cert_file: str = ""
    """File with a certificate to show (PEM), and its key unless `key_file` has it."""
    key_file: str = ""
    """File with the private key of `cert_file` (PEM)."""
    insecure_any_certificate: bool = False
    """Whether any certificate is believed, whoever shows it: the password goes to whoever answers."""
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=65535)] = 60
    """Seconds without a message after which the connection is proven; half as much again cuts it."""
    reconnect_interval_ms: Positive = 1000
    """Attempt n waits up to this times 2^(n-1), at random, so that many hubs do not come at once."""
    reconnect_max_ms: Positive = 30000
    """The longest it waits."""
    outbox_messages: Positive = 10000
    """Messages that may wait for the broker; then the history keeps them, and what has none is dropped and counted."""
    outbox_bytes: Positive = 67108864
    """Bytes that may wait."""


class NamespaceSettings(Section, frozen=True, kw_only=True):
    """Describe the channels whose first segment is the name of this table; `default` serves the rest."""

    level: DeliveryLevel = "live"
    """Delivery: `live` (at most once), `recoverable` (missed ones are caught up) or `durable` (on disk first)."""
    history_count: Count = 100
    """Publications kept per channel unless the level is `live`; enough for a page of chat or a short absence."""
    history_age_s: Seconds = 600.0
    """Seconds each is kept; a train in a tunnel comes back within ten minutes."""
    presence: bool = False
    """Whether members are listed and joins and leaves are told."""
    patterns: bool = False
    """Whether channels here may be subscribed by pattern (`+`, `#`)."""
    ephemeral: bool = False
    """Whether publications are never kept and not sent to sessions in background (cursors, typing)."""
    room: bool = False
    """Whether channels are chat rooms: names are unique and messages have the shape of the chat."""
    subscribe: Right = "nobody"
    """Who may subscribe; `token` needs a capability in the token, `hook` asks the application."""
    publish: Right = "nobody"
    """Who may publish; the same words as `subscribe`."""
    messages_per_s: Seconds = 0.0
    """Publications a second of all clients together in one channel; above: error 111. 0 is no limit."""
    messages_burst: Positive = 100
    """Publications that a channel takes at once before `messages_per_s` counts."""
    slow_consumer: SlowPolicy = "disconnect"
    """What happens to a client whose send queue is full: cut with 3008, lose the oldest, or keep the latest."""

    def namespace(self, name: str) -> Namespace:
        """Return these options as the hub takes them."""
        return Namespace(
            name=name,
            level=Level(self.level),
            history_count=self.history_count,
            history_age_s=self.history_age_s,
            presence=self.presence,
            patterns=self.patterns,
            ephemeral=self.ephemeral,
            room=self.room,
            subscribe=Access(self.subscribe),
            publish=Access(self.publish),
            messages_per_s=self.messages_per_s,
            messages_burst=self.messages_burst,
            slow_consumer=SlowConsumer(self.slow_consumer),
        )


class LimitSettings(Limits, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bound what one client, address or message may use; the fields of `chappe.model.limits.Limits` and their reasons.

    Attributes:
        hook_threads: threads for hooks that block (`blocking=True`); beyond, they wait.
    """

    hook_threads: int = 32

    def limits(self) -> Limits:
        """Return the part that the hub takes."""
        return Limits(**{name: getattr(self, name) for name in Limits.__struct_fields__})


class MqttSettings(Section, frozen=True, kw_only=True):
    """Say where MQTT clients connect, and what each may use."""

    port: Port = 0
    """TCP port of MQTT, usually 1883; 0 leaves it closed (`/mqtt` on the port of HTTP is always there)."""
    tls_port: Port = 0
    """TCP port of MQTT over TLS, usually 8883, with the certificates of `server`; 0 leaves it closed."""
    receive_maximum: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 20
    """Messages of QoS 1 and 2 that a client may have under way towards the hub; above: 0x93. 20 as mosquitto."""
    topic_alias_maximum: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 10
    """Topics that a client may give a number, and that it is given numbers for; 10 as mosquitto."""
    keep_alive_max_s: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 60
    """Longest keep alive of version 5; who asks more is told this one. A minute finds a dead device soon enough."""
    session_expiry_max_s: Annotated[int, msgspec.Meta(ge=0, le=4294967295)] = 604800
    """Seconds a session outlives its connection at most, a week; 0: for as long as the client says."""
    inflight_messages: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 100
    """Messages of QoS 1 and 2 under way to one client; enough for 1,000 a second over 100 ms."""
    session_queue_messages: Positive = 1000
    """Messages that may wait for one session, or are kept for it while it is away; above, they are dropped."""
    session_queue_bytes: Positive = 1048576
    """The same in bytes, 200 counted for each message beside its payload."""
    packet_overhead_bytes: Positive = 16384
    """What a packet may have beside the largest payload: topic and properties; above: 0x95."""
    connect_bytes: Positive = 65536
    """Largest CONNECT: a will, a user name and a token."""
    sys_interval_s: Seconds = 10.0
    """Seconds between two values of the `$SYS` counters; 0: they are not published. 10 as mosquitto."""
    checkpoint_s: Seconds = 1.0
    """Seconds after which the place of a session is written down where sessions survive restarts."""

    def options(self) -> MqttOptions:
        """Return these settings as the hub takes them."""
        return MqttOptions(**{name: getattr(self, name) for name in MqttOptions.__struct_fields__})


class PollSettings(Section, frozen=True, kw_only=True):
    """Tune long polling."""

    hold_s: Seconds = 60.0
    """Seconds a poll waits for messages before it is answered 204, and a POST for its answers."""
    session_s: Seconds = 30.0
    """Seconds a session lives between two polls, and seconds its end is told to who asks."""
    simple: bool = False
    """Whether `?clientId=` sessions are allowed, whose ids clients make up (at most once)."""
    remembered_answers: Positive = 16
    """Answers of numbered POSTs (`seq=`) that are kept for repetitions; more are under way in no client."""
    waiting_posts: Positive = 16
    """POSTs of one session that wait while it is over its rate or its hook is busy; more are answered 429."""

    def options(self) -> PollOptions:
        """Return these settings as the transports take them."""
        return PollOptions(**{name: getattr(self, name) for name in PollOptions.__struct_fields__})


class SseSettings(Section, frozen=True, kw_only=True):
    """Tune Server-Sent Events."""

    default_channels: tuple[str, ...] = ()
    """Channels of `/events` when the request names none."""


class LogSettings(Section, frozen=True, kw_only=True):
    """Say what is logged, how and where."""

    level: LogLevel = "INFO"
    """Least severe level that is written."""
    format: LogFormat = "text"
    """`text` for people, `json` for one JSON object a line."""
    file: str = ""
    """File to append to, instead of standard error; `auto` makes `websocket_YYYYMMDD_HHMMSS.log`."""
    payloads: bool = False
    """Whether message texts appear at DEBUG."""
    audit_file: str = ""
    """File of JSON lines to append refusals, changes by operators and the settings at start to; empty: none."""
    audit_bytes: Positive = 10_485_760
    """Size at which the audit file is renamed to `.1` and begun anew."""
    audit_files: Positive = 10
    """Audit files that are kept, the current one included."""
    utc: bool = False
    """Whether text lines carry UTC instead of the local time; JSON lines always carry UTC."""

    def options(self, now: datetime.datetime) -> LogOptions:
        """Return these settings as telemetry takes them; `now` names the file if its name is `auto`."""
        file = default_log_file(now) if self.file == "auto" else self.file
        return LogOptions(level=self.level, format=self.format, file=file or None, utc=self.utc)


def _closed_namespaces() -> dict[str, NamespaceSettings]:
    return {"default": NamespaceSettings()}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hold every setting of one hub; `load` makes it and nothing changes it."""

    server: ServerSettings = ServerSettings()
    broker: BrokerSettings = BrokerSettings()
    auth: AuthSettings = AuthSettings()
    api: ApiSettings = ApiSettings()
    issuers: dict[str, IssuerSettings] = msgspec.field(default_factory=dict)
    users: dict[str, UserSettings] = msgspec.field(default_factory=dict)
    redis_bridges: dict[str, RedisBridgeSettings] = msgspec.field(default_factory=dict)
    mqtt_bridges: dict[str, MqttBridgeSettings] = msgspec.field(default_factory=dict)
    namespaces: dict[str, NamespaceSettings] = msgspec.field(default_factory=_closed_namespaces)
    limits: LimitSettings = LimitSettings()
    mqtt: MqttSettings = MqttSettings()
    poll: PollSettings = PollSettings()
    sse: SseSettings = SseSettings()
    log: LogSettings = LogSettings()

    def hub_namespaces(self) -> list[Namespace]:
        """Return the namespaces as the hub takes them, `default` among them."""
        return [settings.namespace(name) for name, settings in self.namespaces.items()]
