"""The contracts that the hub owns and that the layers above it fulfil.

The hub calls; brokers, links and clocks answer. All calls are made on the hub's own thread (the event loop of the I/O
layer) and none may block. A callback named `done` is called exactly once, on the same thread, inside the call or later.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec

from chappe.hub.namespaces import Namespace
from chappe.model.errors import ChappeError
from chappe.model.frame import Frame
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication, Sender

# --- Clock -----------------------------------------------------------------------------------------------------------


class Timer(Protocol):
    """A pending call of a clock."""

    def cancel(self) -> None:
        """Forget the call; does nothing when it was made already."""


class Clock(Protocol):
    """Time as an argument: the event loop's in production, a fake one in tests."""

    def now(self) -> float:
        """Return monotonic seconds: for every timeout, lease and rate."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 UTC: for what people see."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once, `delay_s` seconds from now, never inside this call."""


Random: TypeAlias = Callable[[int], bytes]
"""Return so many unpredictable bytes (`os.urandom`; seeded in tests)."""

# --- Links and audiences ---------------------------------------------------------------------------------------------


class Link(Protocol):
    """One peer's way out: what a carrier gives the hub. Native code replaces it."""

    def send(self, frame: Frame) -> None:
        """Queue one frame, in order; flushed at the end of the tick at the latest. After `close`: does nothing.

        If more than the cap of the send queue waits already, the policy of the frame's namespace acts: the link closes
        with 3008, or drops frames and reports how many with `SessionEvents.dropped`. Never silently.
        """

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, say goodbye with a code of `spec/errors.toml`, end; bounded in time. May be repeated."""

    def pause(self) -> None:
        """Stop reading from the peer, so that its own sending blocks."""

    def resume(self) -> None:
        """Read again."""

    def limit(self, frame_bytes: int) -> None:
        """Set the largest message taken from the peer; a larger one closes with 1009."""

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Ask the peer for a sign of life; True at the first frame that comes, False at the timeout or the end."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to read."""


@runtime_checkable
class CountingLink(Protocol):
    """A link that counts what passes: bytes of the socket, whole messages."""

    bytes_in: int
    messages_in: int
    messages_out: int

    @property
    def bytes_out(self) -> int:
        """Bytes written to the socket."""


class Audience(Protocol):
    """The links that get the same frames. Native code replaces it."""

    def add(self, link: Link) -> None:
        """Add a link; adding it again does nothing."""

    def discard(self, link: Link) -> None:
        """Remove a link if it is there; allowed while `publish` runs, which then skips it if it was not served yet."""

    def publish(self, frame: Frame, skip: Link | None = None) -> int:
        """Send a frame to every link but `skip`; return how many got it. Frames keep their order on each link."""

    def __len__(self) -> int: ...


# --- Broker ----------------------------------------------------------------------------------------------------------


class Append(msgspec.Struct, frozen=True, gc=False):
    """One publication to be stored.

    Attributes:
        namespace: the options of its channel: level, how many are kept, how long.
        key: idempotency key or None; remembered for `IDEMPOTENCY_S` for each channel and `key_owner`.
        expect: store only if this is the channel's last position (an empty epoch means: whatever the epoch is now).
        retain: set the retained slot too; an empty payload clears it.
        transient: for everybody but the sender: neither kept nor numbered (its offset is 0), but in the feed, in order.
    """

    channel: str
    payload: bytes
    kind: Kind
    time_ms: int
    namespace: Namespace
    sender: Sender | None = None
    key: str | None = None
    key_owner: str = ""
    headers: Mapping[str, str] | None = None
    expect: Position | None = None
    retain: bool = False
    transient: bool = False


#: How long an idempotency key is remembered, seconds (interfaces: five minutes).
IDEMPOTENCY_S = 300.0


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of one `Append`.

    Attributes:
        error: 0 if it is stored; else a code: 108 not available (nothing was stored and nothing will be), 114 conflict.
        position: where it is stored; for 114 where the channel is now.
        duplicate: the key was known: this is the first answer again and nothing was stored or will be delivered.
    """

    error: int
    position: Position
    duplicate: bool = False


class Read(msgspec.Struct, frozen=True, gc=False):
    """A question about one channel.

    Attributes:
        since: give what came after it, and tell whether that is all of it; None: the newest `limit`.
        limit: most publications in the answer; 0: only the position.
        reverse: newest first (with `since`: what came before it).
    """

    channel: str
    namespace: Namespace
    since: Position | None = None
    limit: int = 0
    reverse: bool = False


class ReadResult(msgspec.Struct, frozen=True, gc=False):
    """The answer to `Read`.

    Attributes:
        error: 0, or 108 if the broker cannot tell.
        position: the channel's last position at the moment of the read.
        publications: oldest first (newest first with `reverse`).
        complete: with `since`: the epoch is right, nothing after it is missing, and all of it is here.
        retained: the publication in the retained slot, or None.
        unbroken: with `since` and not `reverse`: nothing is missing between it and the last publication here, though
            `limit` may have cut the end off.
    """

    error: int
    position: Position
    publications: Sequence[Publication] = ()
    complete: bool = False
    retained: Publication | None = None
    unbroken: bool = False


class ReadLog(msgspec.Struct, frozen=True, gc=False):
    """A question about all channels that match a pattern.

    Attributes:
        since: a log position as told before; None asks only for the present one.
    """

    pattern: str
    since: str | None = None
    limit: int = 0


class ReadLogResult(msgspec.Struct, frozen=True, gc=False):
    """The answer to `ReadLog`.

    Attributes:
        position: the log position now, opaque text to clients. It ends in `:` and `sequence`; with the `log` of a
            publication in its place it is the position of that one.
        sequence: the same as a number that `Publication.log` can be compared with.
        publications: in log order.
        complete: nothing after `since` is missing.
        retained: the retained publications of matching channels.
    """

    error: int
    position: str
    sequence: int = 0
    publications: Sequence[Publication] = ()
    complete: bool = False
    retained: Sequence[Publication] = ()


class BrokerSink(Protocol):
    """What the hub gives a broker: where the feed goes."""

    def published(self, batch: Sequence[Publication]) -> None:
        """Take stored publications, this node's own included, in offset order for each channel, each exactly once.

        A publication comes after its `Outcome`.
        """

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Learn that the feed of these channels (None: of all) may have lost publications or begun a new epoch.

        It comes before anything newer of these channels is fed, so that reading now fills the gap in order.
        """


class Broker(Protocol):
    """Keeps publications and spreads them.

    Order: outcomes and the feed keep the order of `append` for each channel, the feed that of `Publication.log` too,
    so that the last one fed is a cursor. Offsets grow strictly and may have gaps.
    Loss: a publication is in the feed of every attached node exactly once, or `interrupted` tells. Failure: an append
    whose fate is unknown is answered 108, and so is the channel's whole pending tail; its epoch changes if what was
    told before no longer holds.

    Attributes:
        name: how it is called, as in its URL.
        durable: it keeps the promise of the level `durable`.
        shared: hubs of other nodes publish and read the same.
    """

    name: str
    durable: bool
    shared: bool

    async def start(self, sink: BrokerSink) -> None:
        """Connect; `append` and `read` may be called from here on."""

    async def stop(self) -> None:
        """Finish or fail what is pending, close; every `done` was called when this returns."""

    def append(self, batch: Sequence[Append], done: Callable[[Sequence[Outcome]], None]) -> None:
        """Store publications of any channels; `done` gets one outcome for each, in their order."""

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        """Read a channel; sees every append whose outcome was told."""

    def read_log(self, request: ReadLog, done: Callable[[ReadLogResult], None]) -> None:
        """Read across channels by log position."""

    def attach(self, channel: str) -> None:
        """Ask for the feed of a channel or pattern; the feed is complete for every read that is asked after this.

        What is appended through this broker after this is in the feed as well.

        Attaching again does nothing: calls are not counted, one `detach` ends it.
        """

    def detach(self, channel: str) -> None:
        """Give the feed of a channel or pattern up."""


@runtime_checkable
class CountingBroker(Protocol):
    """A broker that counts what only it can see."""

    def metrics(self) -> dict[str, float]:
        """Return counters and gauges by their full metric names, `chappe_broker_...`."""


# --- The edge --------------------------------------------------------------------------------------------------------

Spawn: TypeAlias = Callable[[Awaitable[Any], Callable[[Any, BaseException | None], None]], None]
"""Run an awaitable to its end and call back, once, with its result or its exception."""


Audit: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Note for good that something happened: its name, such as `refused`, and what belongs to it. Never blocks for long."""


class Log(Protocol):
    """Where the hub tells what happened; the values stay arguments, so that the edge can redact and escape them."""

    def __call__(self, level: str, message: str, *values: object) -> None:
        """Write a line; `level` is one of ERROR, WARNING, INFO, DEBUG, `message` has a %s for each value."""


# --- Authentication --------------------------------------------------------------------------------------------------


class Claims(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a verified credential says.

    Attributes:
        user: the subject.
        expires_at: seconds since 1970, or None: never.
        scopes: `api`, `operator`, `service:<name>`.
        subscribe, publish: patterns the bearer may use; None: the namespace decides.
        info: shown in presence.
        token_id, issued_at: `jti` and `iat` (seconds since 1970), for revocation.
    """

    user: str | None = None
    expires_at: float | None = None
    scopes: frozenset[str] = frozenset()
    subscribe: tuple[str, ...] | None = None
    publish: tuple[str, ...] | None = None
    info: Any = None
    token_id: str | None = None
    issued_at: float | None = None


Identified: TypeAlias = Callable[[Claims | None, ChappeError | None], None]
"""Take the claims of a credential, or why it is refused."""


class Authenticator(Protocol):
    """Verifies credentials."""

    def authenticate(self, token: str, wall_s: float) -> Claims | Awaitable[Claims]:
        """Verify a bearer token at a wall-clock time.

        Returns the claims, or what has to be awaited for them, because somebody else is asked.

        Raises:
            ChappeError: 101 with the reason (never the token), 109 expired, 108 who has to be asked cannot be; so does
                the awaitable.
        """
