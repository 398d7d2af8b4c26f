"""The contract between protocols and the hub.

A protocol turns carrier frames into commands and messages into frames, and does nothing else: no I/O, no clock, no
decision about rights. Commands and messages are plain frozen values that every protocol shares, so that the hub knows
no protocol. Decoding is for each connection (`Protocol`), encoding is shared by all connections of one encoding
(`Encoder`), which is what lets a fan-out encode once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from chappe.model.errors import ChappeError
from chappe.model.frame import Frame
from chappe.model.member import Member
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication

# --- Commands: what clients ask --------------------------------------------------------------------------------------


class SincePosition(msgspec.Struct, frozen=True, gc=False):
    """Where a subscriber was: an epoch and offset of a channel, or a log position of a pattern."""

    epoch: str = ""
    offset: int = 0
    position: str | None = None


Since: TypeAlias = SincePosition | int | str | None
"""A place, a count of the newest, `"latest"` (the newest one), or nothing: from now on."""


class Connect(msgspec.Struct, frozen=True, tag_field="type", tag="connect"):
    """Identify oneself; `resume` is the private handle of an earlier connection."""

    id: int
    token: str | None = None
    name: str | None = None
    client: dict[str, Any] | None = None
    resume: str | None = None
    batch: bool = False


class Login(msgspec.Struct, frozen=True):
    """Identify oneself by a name and enter a room, or neither."""

    name: str
    channel: str
    token: str | None = None
    id: int = 0


class Say(msgspec.Struct, frozen=True):
    """Say a line in the room one is logged in to.

    Attributes:
        username: who is said to speak; None: whoever is logged in.
        sent: the sender's own time, told again to everybody.
    """

    content: str
    username: str | None = None
    sent: str | None = None


class Relay(msgspec.Struct, frozen=True, gc=False):
    """Pass bytes on to everybody else in the room one is logged in to."""

    payload: bytes


class Subscribe(msgspec.Struct, frozen=True, tag_field="type", tag="subscribe"):
    """Subscribe to a channel or pattern."""

    id: int
    channel: str
    since: Since = None
    presence: bool = False


class Follow(Subscribe, frozen=True, tag="follow"):
    """Subscribe where a session was before: what is left of a gap is given although it is not whole."""


class Unsubscribe(msgspec.Struct, frozen=True, tag_field="type", tag="unsubscribe"):
    """End a subscription."""

    id: int
    channel: str


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Publish to a channel.

    Attributes:
        transient: to everybody but the sender, neither kept nor numbered.
        is_will: said for a session that is over.
    """

    id: int
    channel: str
    payload: bytes
    kind: Kind = Kind.JSON
    key: str | None = None
    expect: int | Position | None = None
    retain: bool = False
    headers: Mapping[str, str] | None = None
    transient: bool = False
    is_will: bool = False


class History(msgspec.Struct, frozen=True, tag_field="type", tag="history"):
    """Read a channel's history."""

    id: int
    channel: str
    limit: int = 100
    since: SincePosition | None = None
    reverse: bool = False


class Presence(msgspec.Struct, frozen=True, tag_field="type", tag="presence"):
    """List a channel's members."""

    id: int
    channel: str


class ListNames(msgspec.Struct, frozen=True):
    """List the names in a room; an empty channel is the room one is logged in to."""

    channel: str = ""
    id: int = 0


class Lock(msgspec.Struct, frozen=True, tag_field="type", tag="lock"):
    """Acquire a named lock; `ttl` 0: until it is released or the session ends. Seconds."""

    id: int
    resource: str
    ttl: float = 30.0
    wait: float = 0.0
    operation: str | None = None


class Unlock(msgspec.Struct, frozen=True, tag_field="type", tag="unlock"):
    """Release a lock."""

    id: int
    resource: str


class LockOwner(msgspec.Struct, frozen=True):
    """Ask who holds a lock."""

    resource: str
    id: int = 0


class Rpc(msgspec.Struct, frozen=True, tag_field="type", tag="rpc"):
    """Call a method of the application."""

    id: int
    method: str
    params: Any = None
    stream: bool = False


class Cancel(msgspec.Struct, frozen=True, tag_field="type", tag="cancel"):
    """Stop a call or its stream."""

    id: int


class ServiceRequest(msgspec.Struct, frozen=True):
    """Ask a service behind the gateway."""

    service: Any
    action: Any
    request_id: Any = None
    id: int = 0


class Refresh(msgspec.Struct, frozen=True, tag_field="type", tag="refresh"):
    """Give a newer token."""

    id: int
    token: str


class State(msgspec.Struct, frozen=True, tag_field="type", tag="state"):
    """Tell whether the application is in background."""

    id: int
    background: bool


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """Ask for a pong."""

    id: int | None = None


class Leave(msgspec.Struct, frozen=True):
    """Say goodbye, behind everything that was asked before; answered when it is its turn."""

    id: int


class PongReceived(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """Answer the hub's ping; a sign of life and nothing else."""


class Rejected(msgspec.Struct, frozen=True):
    """A command that could not be understood; it keeps its place in the order of answers."""

    id: int | None
    error: ChappeError


Command: TypeAlias = (
    Connect
    | Login
    | Say
    | Relay
    | Subscribe
    | Follow
    | Unsubscribe
    | Publish
    | History
    | Presence
    | ListNames
    | Lock
    | Unlock
    | LockOwner
    | Rpc
    | Cancel
    | ServiceRequest
    | Refresh
    | State
    | Ping
    | PongReceived
    | Leave
    | Rejected
)

#: Commands that mean one thing before a login, another behind it, and are resolved when their turn comes: by then the
#: login that stood before them in line has been answered.
ROOM_COMMANDS: Final = frozenset((Login, Say, Relay, ListNames))

# --- Messages: what the hub says -------------------------------------------------------------------------------------


class Connected(msgspec.Struct, frozen=True):
    """Answer `connect`; `ping_s` is the interval of the hub's own pings."""

    id: int
    session: str
    resume: str
    user: str | None
    name: str
    ping_s: float
    version: str
    node: str
    resumed: bool


class Subscribed(msgspec.Struct, frozen=True):
    """Answer `subscribe`; `log_position` is set for patterns, `position` for channels."""

    id: int
    channel: str
    position: Position | None
    log_position: str | None
    recovered: bool


class Published(msgspec.Struct, frozen=True, gc=False):
    """Answer `publish`; offset 0 for what is not kept."""

    id: int
    offset: int
    epoch: str


class HistoryPage(msgspec.Struct, frozen=True):
    """Answer `history`."""

    id: int
    channel: str
    publications: Sequence[Publication]
    position: Position


class PresenceList(msgspec.Struct, frozen=True):
    """Answer `presence`."""

    id: int
    channel: str
    members: Sequence[Member]
    count: int


class Locked(msgspec.Struct, frozen=True):
    """Answer `lock`; `expires_ms` is wall-clock milliseconds or None: no lease."""

    id: int
    resource: str
    owner: str
    token: int
    expires_ms: int | None
    completed: bool = False


class Unlocked(msgspec.Struct, frozen=True):
    """Answer `unlock`."""

    id: int
    resource: str


class LockOwned(msgspec.Struct, frozen=True):
    """Answer who holds a lock; empty: nobody."""

    id: int
    resource: str
    owner: str


class Result(msgspec.Struct, frozen=True):
    """Answer `rpc`."""

    id: int
    result: Any


class Done(msgspec.Struct, frozen=True):
    """Answer a command that has nothing to tell."""

    id: int


class Failed(msgspec.Struct, frozen=True):
    """Answer a command that failed, or (id None) a frame that was none."""

    id: int | None
    code: int
    reason: str
    retry: bool
    detail: Mapping[str, Any]


class Joined(msgspec.Struct, frozen=True):
    """Tell that a member came."""

    channel: str
    member: Member


class Left(msgspec.Struct, frozen=True):
    """Tell that a member went."""

    channel: str
    member: Member


class PresenceState(msgspec.Struct, frozen=True):
    """Tell who is there, before the first difference; above a size only the count."""

    channel: str
    members: Sequence[Member] | None
    count: int


class Names(msgspec.Struct, frozen=True):
    """Tell the names in a room, for protocols that want lists rather than differences."""

    channel: str
    names: Sequence[str]


class Unsubscribed(msgspec.Struct, frozen=True):
    """Tell that the hub ended a subscription; from 2500 on the client subscribes again."""

    channel: str
    code: int
    reason: str


class Missed(msgspec.Struct, frozen=True):
    """Tell how many publications were dropped because this reader was slow."""

    channel: str
    count: int


class Direct(msgspec.Struct, frozen=True):
    """Say something to one session; `payload` is JSON text."""

    payload: bytes


class Pong(msgspec.Struct, frozen=True):
    """Answer `ping`."""

    id: int | None = None


Message: TypeAlias = (
    Connected
    | Subscribed
    | Published
    | HistoryPage
    | PresenceList
    | Locked
    | Unlocked
    | LockOwned
    | Result
    | Done
    | Failed
    | Joined
    | Left
    | PresenceState
    | Names
    | Unsubscribed
    | Missed
    | Direct
    | Pong
)

# --- The two sides ---------------------------------------------------------------------------------------------------


class Encoder(Protocol):
    """Encodes for all connections of one encoding; stateless.

    Attributes:
        name: unique name of the encoding, as shown in the console.
        wants_names: whether rooms are told as lists of names (`Names`).
    """

    name: str
    wants_names: bool

    def publication(self, publication: Publication) -> Frame | None:
        """Encode a publication; None if this protocol cannot carry it. Called once for each fan-out."""

    def message(self, message: Message) -> Frame | None:
        """Encode a message; None if this protocol has no word for it."""


class ServerProtocol(Protocol):
    """Decodes for one connection.

    Attributes:
        closes_refused_names: whether a name in use ends the connection (4509).
    """

    closes_refused_names: bool

    @property
    def encoder(self) -> Encoder:
        """How this connection is answered."""

    @property
    def frame_bytes(self) -> tuple[int, int]:
        """The largest carrier message before the session is open, and the largest now that it is."""

    def receive(self, payload: bytes, text: bool) -> Iterable[Command]:
        """Decode one carrier frame into commands, in wire order; what is malformed becomes `Rejected` in its place.

        Of a large batch each may be decoded when it is asked for: others have a turn in between.

        Raises:
            RemoteProtocolError: the connection cannot go on; `.close_code` says how to end it.
        """

    def opened(self, name: str) -> None:
        """Learn that the session is identified, and by which name (empty: none)."""

    def entered(self, channel: str) -> None:
        """Learn that the session follows a channel, before anything of the channel goes out; `frame_bytes` may grow."""

    def resolve(self, command: Command) -> Command:
        """Return what one of `ROOM_COMMANDS` means now; called when it is carried out, not when it is decoded."""

    def joins_at_once(self) -> str | None:
        """Return the channel that a connection of this protocol is in from its first moment, or None."""
