"""A session: one client's stay at the hub, from its first frame to its last."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chappe.hub.auditing import AUDITED, refusal
from chappe.hub.contracts import Claims, Link
from chappe.hub.permissions import Actor
from chappe.hub.quotas import Excess
from chappe.hub.seats import address_group
from chappe.hub.session_state import SessionInput, SessionState, advance
from chappe.hub.told_epochs import ToldEpochs
from chappe.model.error_codes import Code, reason
from chappe.model.errors import ChappeError, RemoteProtocolError
from chappe.model.publication import Sender
from chappe.protocols import base
from chappe.protocols.base import ROOM_COMMANDS, Command, Message, Publish, Rejected, ServerProtocol

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore
    from chappe.hub.subscription import Subscription

#: What a session without credentials may say of itself.
ANONYMOUS: Final = Claims()
#: Commands that need no identity, or give one, so that they open no session.
_IMPERSONAL: Final = frozenset({base.Ping, base.PongReceived, Rejected, base.Connect, base.Login})
# Names of a module are found sooner than members of an enum.
_NEW: Final = SessionState.NEW
_CLOSED: Final = SessionState.CLOSED
#: How a connection ends whose credentials are refused.
CREDENTIALS_REFUSED: Final[dict[int, Code]] = {
    Code.UNAUTHORIZED: Code.INVALID_TOKEN,
    # The client fetches a newer token and comes back.
    Code.TOKEN_EXPIRED: Code.EXPIRED,
    # Nobody could be asked whose it is: the client comes back with the same.
    Code.NOT_AVAILABLE: Code.INSUFFICIENT_STATE,
}


class Peer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the carrier knows about the other side.

    Attributes:
        address: IP address as text; empty where there is none.
        carrier: `websocket`, `sse`, `poll` ...
        language: `en` or `fr`: how errors are worded.
        token: a credential that came with the connection, or None.
        claims: who it is by what the carrier verified itself (a TLS certificate), or None; a token counts before it.
    """

    address: str = ""
    carrier: str = "websocket"
    language: str = "en"
    token: str | None = None
    claims: Claims | None = None


@lru_cache(maxsize=4_096)
def _identified(address: str, carrier: str, language: str) -> Peer:
    """Return a peer whose token has done its work; connections that come the same way share one."""
    return Peer(address=address, carrier=carrier, language=language)


_NEVER: Final = math.inf
#: What a timer may miss its moment by, seconds.
_TIMER_S: Final = 0.001
#: Commands refused one after the other before the connection ends: who is told so often and goes on does not listen.
#: Well above what a client with 10,000 things to ask has on its way before it hears the first answer.
_REFUSALS_IN_A_ROW: Final = 20_000
#: Seconds for which a client is not read for each command that was too fast, beyond the wait for a token: fifty a
#: second are refused, as many as the default rate lets through; and at most.
_REFUSAL_S: Final = 0.02
_MOST_UNREAD_S: Final = 5.0


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
        sender: how it is shown, once it has published; `introduce` makes it.
        expires_at: monotonic seconds at which its token ends it; infinite: never.
        outlet: the link that publications go to; the link, but for protocols whose clients each get their own.
    """

    # An idle session is one of very many: whatever most of them do not need is None until it is needed.

    __slots__ = (
        "_answers",
        "_awaits_turn",
        "_backlog",
        "_draining",
        "_epochs",
        "_frames",
        "_full_at",
        "_held",
        "_paused",
        "_read_at",
        "_refusals",
        "_subscriptions",
        "actor",
        "background",
        "calls",
        "expires_at",
        "handle",
        "hub",
        "id",
        "last_activity",
        "link",
        "name",
        "opened_at",
        "outlet",
        "peer",
        "protocol",
        "resume",
        "sender",
        "state",
        "was_open",
    )

    def __init__(self, hub: "HubCore", link: Link, protocol: ServerProtocol, peer: Peer, public_id: str) -> None:
        now = hub.clock.now()
        self.hub = hub
        self.link = link
        self.outlet = link
        self.protocol = protocol
        self.peer = peer
        self.id = public_id
        self.resume = ""
        self.name = ""
        self.actor = _NOBODY
        self.state = SessionState.NEW
        self.was_open = False
        self.last_activity = now
        self.opened_at = now
        self.background = False
        self.calls = 0
        self.expires_at = _NEVER
        self.handle: Any = None
        self.sender: Sender | None = None
        # The one subscription of most, or all of several by name.
        self._subscriptions: Subscription | dict[str, Subscription] | None = None
        self._epochs: ToldEpochs | None = None
        # The bucket of its rate (`hub.pace`) is full.
        self._full_at = 0.0
        # A deque costs 600 bytes, empty or not.
        self._backlog: deque[Command] | None = None
        self._answers: deque[Answer] | None = None
        self._frames: deque[tuple[bytes, bool]] | None = None
        self._held = 0
        self._refusals = 0
        self._draining = False
        self._paused = False
        # Before that moment nothing is read: it was too fast.
        self._read_at = 0.0
        self._awaits_turn = False

    @property
    def user(self) -> str | None:
        """The authenticated user, or None."""
        return self.actor.claims.user

    def introduce(self) -> Sender:
        """Make its `sender`, who is shown to those who get what it publishes."""
        self.sender = Sender(self.actor.claims.user, self.name, self.id)
        return self.sender

    def remember_epoch(self, channel: str, epoch: str, although_subscribed: bool = False) -> None:
        """Note the epoch of a channel that it is told, for its `expect`; while it is subscribed that one knows it."""
        if although_subscribed or self._subscriptions is None or self.subscription(channel) is None:
            told = self._epochs
            if told is None:
                told = self._epochs = ToldEpochs()
            # Who publishes, publishes again.
            if told.newest != (channel, epoch):
                told.remember(channel, epoch)

    def told_epoch(self, channel: str) -> str:
        """Return the epoch of a channel that it was told last."""
        subscription = self.subscription(channel)
        if subscription is not None:
            return subscription.epoch
        return self._epochs.get(channel) if self._epochs is not None else ""

    @property
    def is_open(self) -> bool:
        """Whether the session is identified and its connection is there."""
        return self.state is SessionState.OPEN

    @property
    def is_over(self) -> bool:
        """Whether the session ended for good."""
        return self.state is _CLOSED

    # --- Its subscriptions -------------------------------------------------------------------------------------------

    @property
    def subscriptions(self) -> Mapping[str, "Subscription"]:
        """All subscriptions by name, to be looked at."""
        held = self._subscriptions
        if held is None:
            return {}
        return MappingProxyType(held) if isinstance(held, dict) else {held.name: held}

    @property
    def subscribed(self) -> int:
        """How many subscriptions it has."""
        held = self._subscriptions
        return len(held) if isinstance(held, dict) else held is not None

    def subscription(self, name: str) -> "Subscription | None":
        """Return the subscription to a channel or pattern, or None."""
        held = self._subscriptions
        if held is None:
            return None
        if isinstance(held, dict):
            return held.get(name)
        return held if held.name == name else None

    def subscribes(self, subscription: "Subscription") -> None:
        """Take a new subscription."""
        held = self._subscriptions
        if held is None:
            self._subscriptions = subscription
        elif isinstance(held, dict):
            held[subscription.name] = subscription
        else:
            self._subscriptions = {held.name: held, subscription.name: subscription}

    def unsubscribed(self, subscription: "Subscription") -> None:
        """Let a subscription go, if it is there."""
        held = self._subscriptions
        if isinstance(held, dict):
            held.pop(subscription.name, None)
            if not held:
                self._subscriptions = None
        elif held is subscription:
            self._subscriptions = None

    # --- Called by the carrier ---------------------------------------------------------------------------------------

    def receive(self, payload: bytes, text: bool) -> None:
        """Take one message of the peer; answers go out over the link, inside this call or later."""
        if self.state is _CLOSED:
            return
        hub = self.hub
        self.last_activity = hub.clock.now()
        hub.counters.messages_in += 1
        if hub.hooks.message:
            if self._must_wait() or self._frames:
                # Hooks see messages one by one, in order, as commands run.
                if self._frames is None:
                    self._frames = deque()
                self._frames.append((payload, text))
                self._limit_backlog()
                return
            self._show(payload.decode() if text else payload)
        self._take(payload, text, self.hub.breathe)

    def _take(self, payload: bytes, text: bool, between: Callable[[], None] | None = None) -> None:
        """Carry out the commands of a message; `between` is called between them.

        Others have a turn only in the middle of what the carrier brings: it brings nothing more of this session then.
        """
        try:
            commands = self.protocol.receive(payload, text)
        except RemoteProtocolError as error:
            self.hub.counters.protocol_errors += 1
            self.close(error.close_code, error.reason)
            return
        is_first = True
        for command in commands:
            if between is not None and not is_first:
                between()
            is_first = False
            if self.state is _CLOSED:
                # By a command before it in the same frame: nothing may enter a channel or lock on its behalf any more.
                return
            self.take(command)
        if self._backlog or self._answers:
            self._limit_backlog()

    def take(self, command: Command) -> None:
        """Carry out one command of the peer, behind those that wait."""
        if self._held or self._backlog:
            self._postpone(command)
        else:
            self._run(command)

    def lost(self, code: int) -> None:
        """Learn that the connection is gone; `code` is how it ended (1006: without a word)."""
        if self.state is not _CLOSED:
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
        self.hub.strangers.give_back(address_group(self.peer.address))
        self.become(claims, name)

    def become(self, claims: Claims, name: str) -> None:
        """Take an identity, the first or a newer one."""
        self.present(claims, name)
        self.peer = _identified(self.peer.address, self.peer.carrier, self.peer.language)
        self.protocol.opened(self.name)
        self.link.limit(self.protocol.frame_bytes[1])

    def present(self, claims: Claims, name: str) -> None:
        """Take rights and a name, as hooks see them; nothing is claimed and nobody is told."""
        self.actor = Actor(claims)
        self.name = claims.user or name
        self.sender = None

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
            self.expect_answer().message = message
            return
        # As `send`, without the call: most of what is sent are answers.
        frame = self.protocol.encoder.message(message)
        if frame is not None:
            self.link.send(frame)
        elif type(message) is base.Failed:
            self._end_with(message)

    def fail(self, answered: int | None, error: ChappeError) -> None:
        """Answer with an error, worded in the session's language."""
        self.answer(self.failure(answered, error))

    def failure(self, answered: int | None, error: ChappeError) -> base.Failed:
        """Return an error as this session's user reads it; it is counted."""
        self.hub.counters.count_error(error.code)
        if self.hub.audit is not None and error.code in AUDITED:
            self.hub.audit("refused", refusal(self, error))
        text = error.reason
        if self.peer.language != "en" and error.code in self.hub.error_codes:
            # `problem` is English prose about a field; the other language has a sentence for the field itself.
            parameters = {name: value for name, value in error.detail.items() if name != "problem"}
            text = reason(error.code, self.peer.language, **parameters)
        return base.Failed(answered, error.code, text, error.retry, error.detail)

    def expect_answer(self) -> Answer:
        """Keep the place of an answer that comes later, with `settle`."""
        late = Answer()
        if self._answers is None:
            self._answers = deque()
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
            self._answers = None
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
        if self.state is _CLOSED:
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
        if type(command) is not Publish:
            if type(command) in ROOM_COMMANDS:
                command = self.protocol.resolve(command)
            if self._answers and type(command) is not Publish:
                # Publishes overlap, everything else comes after what was asked before it.
                self._postpone(command)
                return
        full_at = self.hub.pace.take(self._full_at, self.last_activity)
        if full_at == _NEVER:
            wait_s = self.hub.pace.wait_s(self._full_at, self.last_activity)
            self._slow_down(command, Excess("messages_per_s", wait_s))
            return
        self._full_at = full_at
        if self.hub.quotas is not None:
            excess = self.hub.quotas.take(self, self.last_activity)
            if excess is not None:
                self._slow_down(command, excess)
                return
        if type(command) is Rejected:
            if self._refused():
                self.fail(command.id, command.error)
            return
        self._refusals = 0
        if self.state is _NEW and type(command) not in _IMPERSONAL:
            self.hub.connecting.connect_implicitly(self, command)
            return
        try:
            self.hub.handlers[type(command)](self, command)
        except Exception as error:
            self._report(command, error)

    def _slow_down(self, command: Command, excess: Excess) -> None:
        """Answer that this is too fast, and read no more until there is a token again: TCP slows the peer down."""
        if not self._refused():
            return
        self.fail(getattr(command, "id", None), self.hub.too_fast(excess))
        if not self._paused and not self.is_over:
            self._pause()
        if not self.is_over:
            # What is refused makes work as well: who does not wait for its answers waits for each of them here.
            now = self.last_activity
            self._read_at = min(max(self._read_at, now + excess.wait_s) + _REFUSAL_S, now + _MOST_UNREAD_S)
            self._await_turn(now)

    def _await_turn(self, now: float) -> None:
        if not self._awaits_turn:
            self._awaits_turn = True
            # Timers may be a millisecond early, and then the next command would be refused too.
            self.hub.clock.call_later(self._read_at - now + _TIMER_S, self._turn_came)

    def _turn_came(self) -> None:
        self._awaits_turn = False
        self._read_again()

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
        except Exception as error:
            self._report(command, error)

    def _report(self, command: Command, error: Exception) -> None:
        if not isinstance(error, ChappeError):
            self.hub.report(error, "a command failed")
            error = ChappeError(Code.INTERNAL_ERROR)
        self.fail(getattr(command, "id", None), error)

    def _postpone(self, command: Command) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(command)

    def _drain(self) -> None:
        if self._draining:
            # A command of the backlog released at once: the loop below goes on, rather than one inside the other.
            return
        self._draining = True
        while self._backlog and not self._held and self.state is not _CLOSED:
            if self._answers and type(self._backlog[0]) is not Publish:
                break
            # What waited is counted when it runs.
            self.last_activity = self.hub.clock.now()
            self._run(self._backlog.popleft())
        self._draining = False
        if not self._backlog:
            self._backlog = None
        while self._frames and not self._must_wait() and not self.is_over:
            payload, text = self._frames.popleft()
            self._show(payload.decode() if text else payload)
            self._take(payload, text)
        if not self._frames:
            self._frames = None
        self._read_again()

    def _waiting(self) -> int:
        return sum(len(line) for line in (self._backlog, self._answers, self._frames) if line)

    def _limit_backlog(self) -> None:
        if not self._paused and self._waiting() > self.hub.limits.hook_queue_frames:
            self._pause()

    def _pause(self) -> None:
        self._paused = True
        self.hub.counters.paused += 1
        self.link.pause()

    def _read_again(self) -> None:
        """Read again if little enough waits, and it was not too fast lately."""
        if not self._paused or self.is_over:
            return
        now = self.hub.clock.now()
        if self._read_at > now:
            self._await_turn(now)
        elif self._waiting() <= self.hub.limits.hook_queue_frames // 2:
            self._paused = False
            self.link.resume()

    def _advance(self, event: SessionInput) -> None:
        self.state = advance(self.state, event)

    def _word(self, code: int) -> str:
        return reason(code, self.peer.language) if code in self.hub.error_codes else ""


_NOBODY: Final = Actor(ANONYMOUS)
Handler = Callable[[Session, Any], None]
