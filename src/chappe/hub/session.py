"""A session: one client's stay at the hub, from its first frame to its last."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chappe.hub.contracts import Claims, Link, Timer
from chappe.hub.permissions import Actor
from chappe.hub.rate_limit import TokenBucket
from chappe.hub.session_state import SessionInput, SessionState, advance
from chappe.model.error_codes import Code, reason
from chappe.model.errors import ChappeError, RemoteProtocolError
from chappe.model.publication import Sender
from chappe.protocols import base
from chappe.protocols.base import Command, Message, ServerProtocol

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore
    from chappe.hub.subscription import Subscription

_ANONYMOUS: Final = Claims()
#: Commands that need no identity, so that they open no session.
_IMPERSONAL: Final = (base.Ping, base.PongReceived, base.Rejected)
#: How a connection ends whose credentials are refused.
CREDENTIALS_REFUSED: Final[dict[int, Code]] = {
    Code.UNAUTHORIZED: Code.INVALID_TOKEN,
    # The client fetches a newer token and comes back.
    Code.TOKEN_EXPIRED: Code.EXPIRED,
}


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """What the carrier knows about the other side.

    Attributes:
        address: IP address as text; empty where there is none.
        carrier: `websocket`, `sse`, `poll` ...
        language: `en` or `fr`: how errors are worded.
        token: a credential that came with the connection, or None.
    """

    address: str = ""
    carrier: str = "websocket"
    language: str = "en"
    token: str | None = None


#: Channels whose epoch a session is known to have been told, beyond its subscriptions.
_TOLD_EPOCHS: Final = 512
#: Commands refused one after the other before the connection ends: who is told so often and goes on does not listen.
#: Well above what a client with 10,000 things to ask has on its way before it hears the first answer.
_REFUSALS_IN_A_ROW: Final = 20_000


class ToldEpochs:
    """The epochs last told to a session, for its `expect`; the oldest are forgotten."""

    __slots__ = ("_epochs", "_forgot")

    def __init__(self) -> None:
        self._epochs: dict[str, str] | None = None
        self._forgot = False

    def get(self, channel: str) -> str:
        """Return the epoch told; empty (any will do) if none was, and one that no channel has if it was forgotten."""
        epoch = self._epochs.get(channel) if self._epochs is not None else None
        if epoch is not None:
            return epoch
        return "?" if self._forgot else ""

    def remember(self, channel: str, epoch: str) -> None:
        """Note an epoch that is told now."""
        if self._epochs is None:
            self._epochs = {}
        self._epochs.pop(channel, None)
        self._epochs[channel] = epoch
        if len(self._epochs) > _TOLD_EPOCHS:
            del self._epochs[next(iter(self._epochs))]
            self._forgot = True


class Answer:
    """The place of a late answer among the answers of its session, which keep the order of their commands."""

    __slots__ = ("message",)

    def __init__(self) -> None:
        self.message: Message | None = None


class Session:
    """One client. Made by `HubCore.open`; the carrier calls `receive`, `lost` and `dropped`, and nothing else.

    Order: answers keep the order of their commands. Publishes overlap; any other command waits until all before it are
    answered, and while an asynchronous hook runs every later command waits (in a bounded queue, then reading stops).

    Attributes:
        id: public id, as told to everybody.
        resume: private handle, or empty before `connect`.
        user, name: who it is: authenticated user or None; the name shown, empty if none.
        state: see `session_state`.
        was_open: it has been identified, whatever became of it.
        last_activity: monotonic seconds of its last frame.
        background: the application said that nobody looks at it.
    """

    __slots__ = (
        "_answers",
        "_backlog",
        "_bucket",
        "_draining",
        "_frames",
        "_held",
        "_paused",
        "actor",
        "_refusals",
        "background",
        "calls",
        "epochs",
        "expiry",
        "handle",
        "hub",
        "id",
        "last_activity",
        "link",
        "name",
        "opened_at",
        "peer",
        "protocol",
        "resume",
        "sender",
        "state",
        "subscriptions",
        "was_open",
    )

    def __init__(self, hub: "HubCore", link: Link, protocol: ServerProtocol, peer: Peer, public_id: str) -> None:
        now = hub.clock.now()
        self.hub = hub
        self.link = link
        self.protocol = protocol
        self.peer = peer
        self.id = public_id
        self.resume = ""
        self.name = ""
        self.actor = Actor(_ANONYMOUS)
        self.sender = Sender(None, "", public_id)
        self.state = SessionState.NEW
        self.was_open = False
        self.last_activity = now
        self.opened_at = now
        self.background = False
        self.subscriptions: dict[str, Subscription] = {}
        self.epochs = ToldEpochs()
        self.calls = 0
        self.expiry: Timer | None = None
        self.handle: Any = None
        self._bucket = TokenBucket(hub.limits.messages_per_s, hub.limits.messages_burst, now)
        self._backlog: deque[Command] = deque()
        self._answers: deque[Answer] = deque()
        self._frames: deque[tuple[bytes, bool]] | None = None
        self._held = 0
        self._refusals = 0
        self._draining = False
        self._paused = False

    @property
    def user(self) -> str | None:
        """The authenticated user, or None."""
        return self.actor.claims.user

    @property
    def is_open(self) -> bool:
        """Whether the session is identified and its connection is there."""
        return self.state is SessionState.OPEN

    @property
    def is_over(self) -> bool:
        """Whether the session ended for good."""
        return self.state is SessionState.CLOSED

    # --- Called by the carrier ---------------------------------------------------------------------------------------

    def receive(self, payload: bytes, text: bool) -> None:
        """Take one message of the peer; answers go out over the link, inside this call or later."""
        if self.state is SessionState.CLOSED:
            return
        self.last_activity = self.hub.clock.now()
        self.hub.counters.messages_in += 1
        if self.hub.hooks.message and (self._must_wait() or self._frames):
            # Hooks see messages one by one, in order, as commands run.
            if self._frames is None:
                self._frames = deque()
            self._frames.append((payload, text))
            self._limit_backlog()
        else:
            self._take(payload, text)

    def _take(self, payload: bytes, text: bool) -> None:
        counters = self.hub.counters
        if self.hub.hooks.message:
            self._show(payload.decode() if text else payload)
        try:
            commands = self.protocol.receive(payload, text)
        except RemoteProtocolError as error:
            counters.protocol_errors += 1
            self.close(error.close_code, error.reason)
            return
        for command in commands:
            if self.is_over:
                # By a command before it in the same frame: nothing may enter a channel or lock on its behalf any more.
                return
            if self._must_wait():
                self._backlog.append(command)
            else:
                self._run(command)
        if self._backlog or self._answers:
            self._limit_backlog()

    def lost(self, code: int) -> None:
        """Learn that the connection is gone; `code` is how it ended (1006: without a word)."""
        if self.state is not SessionState.CLOSED:
            self._advance(SessionInput.LINK_LOST)
            self.hub.forget(self, code)

    def dropped(self, channel: str, count: int) -> None:
        """Learn that the link dropped publications for its slow reader; the reader is told."""
        self.hub.counters.dropped += count
        self.send(base.Missed(channel, count))

    # --- Called by the hub -------------------------------------------------------------------------------------------

    def opened(self, claims: Claims, name: str) -> None:
        """Become identified."""
        self._advance(SessionInput.RECV_CONNECT)
        self.was_open = True
        self.become(claims, name)

    def become(self, claims: Claims, name: str) -> None:
        """Take an identity, the first or a newer one."""
        self.actor = Actor(claims)
        self.name = claims.user or name
        self.sender = Sender(claims.user, self.name, self.id)
        self.protocol.opened(self.name)
        self.link.limit(self.protocol.frame_bytes[1])

    def send(self, message: Message) -> None:
        """Send a message, if the protocol has a word for it; an error without one ends the connection."""
        frame = self.protocol.encoder.message(message)
        if frame is not None:
            self.link.send(frame)
        elif type(message) is base.Failed:
            self._end_with(message)

    def answer(self, message: Message) -> None:
        """Send an answer in its turn."""
        if self._answers:
            late = Answer()
            late.message = message
            self._answers.append(late)
        else:
            self.send(message)

    def fail(self, answered: int | None, error: ChappeError) -> None:
        """Answer with an error, worded in the session's language."""
        self.answer(self.failure(answered, error))

    def failure(self, answered: int | None, error: ChappeError) -> base.Failed:
        """Return an error as this session's user reads it; it is counted."""
        self.hub.counters.count_error(error.code)
        text = error.reason
        if self.peer.language != "en" and error.code in self.hub.error_codes:
            # `problem` is English prose about a field; the other language has a sentence for the field itself.
            parameters = {name: value for name, value in error.detail.items() if name != "problem"}
            text = reason(error.code, self.peer.language, **parameters)
        return base.Failed(answered, error.code, text, error.retry, error.detail)

    def expect_answer(self) -> Answer:
        """Keep the place of an answer that comes later, with `settle`."""
        late = Answer()
        self._answers.append(late)
        return late

    def settle(self, late: Answer, message: Message) -> None:
        """Fill a place; everything that waited only for it goes out, and commands that waited run."""
        late.message = message
        while self._answers and self._answers[0].message is not None:
            self.send(self._answers.popleft().message)  # type: ignore[arg-type]
        if self._answers:
            self._read_again()
        else:
            self._drain()

    def hold(self) -> None:
        """Let later commands wait until `release`; may be asked by several, each releases once."""
        self._held += 1

    def release(self) -> None:
        """Run what waited, if nobody else holds."""
        self._held -= 1
        self._drain()

    def handle_of(self) -> Any:
        """Return what hooks get for this session: the application's view of it, made once."""
        if self.handle is None:
            self.handle = self.hub.make_handle(self)
        return self.handle

    def close(self, code: int, text: str = "") -> None:
        """End the session: say so with a close code, then let the connection end."""
        if self.state is SessionState.CLOSED:
            return
        self._advance(SessionInput.CLOSE)
        self.hub.forget(self, code)
        self.link.close(code, text or self._word(code))

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _end_with(self, failure: base.Failed) -> None:
        """Close where nothing else can say that a command was refused: nobody may take it for carried out."""
        code: int = Code.INSUFFICIENT_STATE if failure.retry else Code.DISCONNECTED
        if 3000 <= failure.code <= 4999:
            # A hook chose how the connection ends.
            code = failure.code
        self.close(CREDENTIALS_REFUSED.get(failure.code, code), failure.reason)

    def _must_wait(self) -> bool:
        return self._held > 0 or bool(self._backlog)

    def _show(self, message: str | bytes) -> None:
        """Show a message to the hooks; while an asynchronous one looks at it, nothing of this session goes on."""
        finished = False

        def shown(error: BaseException | None) -> None:
            nonlocal finished
            if error is not None:
                self.hub.report(error, "a hook on messages failed")
            if finished:
                self.release()
            finished = True

        self.hub.hooks.run(self.hub.hooks.message, (self.handle_of(), message), shown)
        if not finished:
            finished = True
            self.hold()

    def _run(self, command: Command) -> None:
        if type(command) in base.ROOM_COMMANDS:
            command = self.protocol.resolve(command)
        if type(command) is not base.Publish and self._answers:
            # Publishes overlap, everything else comes after what was asked before it.
            self._backlog.append(command)
            return
        if not self._bucket.take(self.last_activity):
            self._slow_down(command)
            return
        if type(command) is base.Rejected:
            if self._refused():
                self.fail(command.id, command.error)
            return
        self._refusals = 0
        if self.state is SessionState.NEW and not isinstance(command, (*_IMPERSONAL, base.Connect, base.Login)):
            self.hub.connecting.connect_implicitly(self, command)
            return
        self.execute(command)

    def _slow_down(self, command: Command) -> None:
        """Answer that this is too fast, and read no more until there is a token again: TCP slows the peer down."""
        if not self._refused():
            return
        wait_s = self._bucket.wait_s()
        detail = {"retry_after_s": max(round(wait_s, 3), 0.001)}
        self.fail(getattr(command, "id", None), ChappeError(Code.TOO_MANY_REQUESTS, detail=detail))
        if not self._paused and not self.is_over:
            self._pause()
            self.hub.clock.call_later(wait_s, self._read_again)

    def _refused(self) -> bool:
        """Count a refusal; return False if it was one too many and the connection ended."""
        self._refusals += 1
        if self._refusals <= _REFUSALS_IN_A_ROW:
            return True
        self.hub.counters.protocol_errors += 1
        self.close(Code.BAD_REQUEST_CLOSE, f"{self._refusals} commands refused in a row")
        return False

    def execute(self, command: Command) -> None:
        """Carry a command out; a ChappeError is its answer, any other exception is ours and is told as 100."""
        try:
            self.hub.handlers[type(command)](self, command)
        except ChappeError as error:
            self.fail(getattr(command, "id", None), error)
        except Exception as error:
            self.hub.report(error, "a command failed")
            self.fail(getattr(command, "id", None), ChappeError(Code.INTERNAL_ERROR))

    def _drain(self) -> None:
        if self._draining:
            # A command of the backlog released at once: the loop below goes on, rather than one inside the other.
            return
        self._draining = True
        while self._backlog and not self._held and self.state is not SessionState.CLOSED:
            if self._answers and type(self._backlog[0]) is not base.Publish:
                break
            # What waited is counted when it runs.
            self.last_activity = self.hub.clock.now()
            self._run(self._backlog.popleft())
        self._draining = False
        while self._frames and not self._must_wait() and not self.is_over:
            self._take(*self._frames.popleft())
        self._read_again()

    def _waiting(self) -> int:
        return len(self._backlog) + len(self._answers) + len(self._frames or ())

    def _limit_backlog(self) -> None:
        if not self._paused and self._waiting() > self.hub.limits.hook_queue_frames:
            self._pause()

    def _pause(self) -> None:
        self._paused = True
        self.hub.counters.paused += 1
        self.link.pause()

    def _read_again(self) -> None:
        """Read again if little enough waits."""
        if self._paused and self._waiting() <= self.hub.limits.hook_queue_frames // 2 and not self.is_over:
            self._paused = False
            self.link.resume()

    def _advance(self, event: SessionInput) -> None:
        self.state = advance(self.state, event)

    def _word(self, code: int) -> str:
        return reason(code, self.peer.language) if code in self.hub.error_codes else ""


Handler = Callable[[Session, Any], None]
