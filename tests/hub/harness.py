"""A hub in a box: the real hub and broker, links that record, a clock and hooks that the test moves on.

Nothing here knows asyncio: a hook's coroutine awaits a `Gate`, which the test opens or the clock does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping
from random import Random
from typing import Any, Final

import msgspec

from chappe.brokers.memory import MemoryBroker
from chappe.hub.contracts import Append, Authenticator, Broker, BrokerSink, Claims, Outcome
from chappe.hub.hub import HubCore, HubOptions
from chappe.hub.namespaces import Access, Level, Namespace, Namespaces
from chappe.hub.session import Peer, Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Bundle, Frame
from chappe.model.limits import Limits
from chappe.model.publication import Kind
from chappe.protocols.base import ServerProtocol
from chappe.protocols.chappe import ChappeProtocol, JsonEncoder, MsgpackEncoder
from chappe.protocols.classic import ClassicEncoder, ClassicProtocol
from chappe.protocols.raw.broadcast import BroadcastProtocol, RawEncoder
from chappe.testing.fake_clock import FakeClock
from chappe.testing.faulty_broker import HARMLESS, Faults, FaultyBroker

#: Nothing of the hub or of `HARMLESS` faults stays silent for so long and then speaks, names and counts apart.
QUIET_S: Final = 0.3

ANYBODY: Final = Access.ANONYMOUS


def namespace(name: str, **options: Any) -> Namespace:
    """Return a namespace that keeps history and lets everybody do everything, but for the options given."""
    open_to_all: dict[str, Any] = {
        "level": Level.RECOVERABLE,
        "history_count": 100,
        "history_age_s": 600.0,
        "presence": True,
        "patterns": True,
        "subscribe": ANYBODY,
        "publish": ANYBODY,
    }
    return Namespace(name=name, **open_to_all | options)


NAMESPACES: Final = (
    namespace("default"),
    namespace("chat", room=True),
    namespace("broadcast", level=Level.LIVE, history_count=0, presence=False),
    namespace("live", level=Level.LIVE, history_count=0, presence=False, patterns=False),
    namespace("cursor", level=Level.LIVE, history_count=0, ephemeral=True),
    namespace("short", history_count=3, history_age_s=60.0),
    namespace("closed", subscribe=Access.NOBODY, publish=Access.NOBODY),
    namespace("members", subscribe=Access.USER, publish=Access.USER),
    namespace("vault", subscribe=Access.TOKEN, publish=Access.TOKEN),
    namespace("asked", subscribe=Access.HOOK, publish=Access.HOOK),
)


class Gate:
    """What a hook of a test awaits until somebody opens it."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._open = False
        self._error: BaseException | None = None
        self._value: Any = None

    def open(self, value: Any = None) -> None:
        """Let everybody through who waits or will come."""
        self._open, self._value = True, value
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Raise an error in everybody who waits or will come."""
        self._open, self._error = True, error
        self._wake()

    def __await__(self) -> Generator[Gate, None, Any]:
        if not self._open:
            yield self
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, step: Callable[[], None]) -> None:
        """Call back at the opening."""
        self._waiting.append(step)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            step()


class RecordingLink:
    """A link that keeps what it is told.

    Attributes:
        frames: everything sent, bundles taken apart.
        closed: code and text of the end, or None.
        alive: how a probe is answered; None: not before the test calls what is in `probes`.
        probes: timeouts and callbacks of probes.
    """

    queued_bytes = 0

    def __init__(self, world: World) -> None:
        self._world = world
        self.frames: list[Frame] = []
        self.closed: tuple[int, str] | None = None
        self.paused = False
        self.frame_bytes = 0
        self.alive: bool | None = True
        self.probes: list[tuple[float, Callable[[bool], None]]] = []
        self.session: Session | None = None
        self.on_frame: Callable[[Frame], None] = lambda frame: None
        self.on_close: Callable[[int], None] = lambda code: None

    def send(self, frame: Frame) -> None:
        """Keep a frame."""
        if self.closed is not None:
            return
        self._world.activity += 1
        for part in frame.frames if isinstance(frame, Bundle) else (frame,):
            self.frames.append(part)
            self.on_frame(part)

    def close(self, code: int, reason: str = "") -> None:
        """End; the session hears of it a moment later, as from a socket."""
        self._world.activity += 1
        if self.closed is None:
            self.closed = (code, reason)
            self.on_close(code)
            if self.session is not None:
                session = self.session
                self._world.clock.call_later(0, lambda: session.lost(code))

    def pause(self) -> None:
        """Stop reading."""
        assert not self.paused
        self.paused = True

    def resume(self) -> None:
        """Read again."""
        assert self.paused
        self.paused = False

    def limit(self, frame_bytes: int) -> None:
        """Keep the limit."""
        self.frame_bytes = frame_bytes

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Answer as `alive` says: the living soon, the dead at the timeout."""
        self._world.activity += 1
        if self.alive is None:
            self.probes.append((timeout_s, done))
        else:
            alive = self.alive
            self._world.clock.call_later(0.01 if alive else timeout_s, lambda: done(alive))


class Client:
    """One connection of a client, whatever its protocol: `send` and `received` speak Python values."""

    def __init__(self, world: World, kind: str, peer: Peer) -> None:
        self.world = world
        self.kind = kind
        self.link = RecordingLink(world)
        self.protocol = world.protocol(kind)
        self.session = world.hub.open(self.link, self.protocol, peer)
        self.link.session = self.session
        self._taken = 0
        self._id = 0

    def send(self, *values: Any) -> None:
        """Send each value as one frame; bytes go as they are."""
        for value in values:
            if isinstance(value, bytes):
                self.send_raw(value, self.kind == "json")
            elif self.kind == "msgpack":
                self.send_raw(msgspec.msgpack.encode(value), False)
            else:
                self.send_raw(msgspec.json.encode(value), True)

    def send_raw(self, payload: bytes, text: bool) -> None:
        """Send one frame."""
        assert self.link.closed is None, f"the connection is closed: {self.link.closed}"
        self.session.receive(payload, text)

    def command(self, kind: str, **fields: Any) -> int:
        """Send a command with an id of its own, and return that."""
        self._id += 1
        self.send({"type": kind, "id": self._id, **fields})
        return self._id

    def ask(self, kind: str, **fields: Any) -> Any:
        """Send a command and return its answer."""
        answered = self.command(kind, **fields)
        self.world.settle()
        return self.answer(answered)

    def answer(self, answered: int) -> Any:
        """Return the one answer to a command."""
        found = self.answers(answered)
        assert len(found) == 1, f"expected one answer to {answered}, got {found} among {self.received()}"
        return found[0]

    def answers(self, answered: int) -> list[Any]:
        """Return the answers to a command."""
        return [each for each in self.received() if isinstance(each, dict) and each.get("id") == answered]

    def code(self, kind: str, **fields: Any) -> int:
        """Send a command that fails, and return the code of its error."""
        answer = self.ask(kind, **fields)
        assert answer["type"] == "error", f"expected an error, got {answer}"
        return int(answer["code"])

    def received(self) -> list[Any]:
        """Return everything that came, decoded."""
        return [self.decode(frame) for frame in self.link.frames]

    def take(self) -> list[Any]:
        """Return what came since the last time."""
        frames = self.link.frames[self._taken :]
        self._taken = len(self.link.frames)
        return [self.decode(frame) for frame in frames]

    def kinds(self) -> list[str]:
        """Return the types of everything that came."""
        return [each["type"] if isinstance(each, dict) else "bytes" for each in self.received()]

    def publications(self, channel: str | None = None) -> list[Any]:
        """Return the publications that came (in one channel)."""
        found = [each for each in self.received() if isinstance(each, dict) and each["type"] == "publication"]
        return [each for each in found if channel in (None, each["channel"])]

    def data(self, channel: str | None = None) -> list[Any]:
        """Return what the publications that came (in one channel) say."""
        return [each["data"] for each in self.publications(channel)]

    def decode(self, frame: Frame) -> Any:
        """Return a frame as Python values; binary frames of classic and everything raw stay bytes."""
        if self.kind == "msgpack":
            assert not frame.text
            return msgspec.msgpack.decode(frame.payload)
        if self.kind == "raw" or not frame.text:
            return frame.payload
        return msgspec.json.decode(frame.payload)

    def cut(self, code: int = 1006) -> None:
        """Lose the connection."""
        self.link.closed = self.link.closed or (code, "")
        self.session.lost(code)


class Tokens:
    """An authenticator that knows tokens by heart."""

    def __init__(self, **claims: Claims) -> None:
        self.claims = claims

    def authenticate(self, token: str, wall_s: float) -> Claims:
        """Return what a token says; 101 for others, 109 for those that are over."""
        claims = self.claims.get(token)
        if claims is None:
            raise ChappeError(Code.UNAUTHORIZED, detail={"problem": "the signature is wrong"})
        if claims.expires_at is not None and claims.expires_at <= wall_s:
            raise ChappeError(Code.TOKEN_EXPIRED)
        return claims


class World:
    """A hub with its broker, its clock and its clients.

    Attributes:
        activity: grows with everything that can be seen from outside.
        errors: what the hub logged as its own or the application's fault; a test that expects some takes them.
        log: levels and lines logged.
    """

    def __init__(
        self,
        broker: str = "memory",
        *,
        namespaces: Iterable[Namespace] = NAMESPACES,
        clock: FakeClock | None = None,
        faults: Faults = HARMLESS,
        seed: int = 0,
        anonymous: bool = True,
        authenticator: Authenticator | None = None,
        reserved_names: tuple[str, ...] = (),
        wrap: Callable[[Broker], Broker] = lambda broker: broker,
        node: str = "n1",
        **limits: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.activity = 0
        self.errors: list[str] = []
        self.log: list[tuple[str, str]] = []
        drawn = Random(seed)
        self.memory = MemoryBroker(self.clock, drawn.randbytes)
        self.faulty = FaultyBroker(self.memory, self.clock, seed, faults) if broker == "faulty" else None
        self.broker = wrap(self.faulty or self.memory)
        self.limits = Limits(**{"messages_per_s": 0.0} | limits)
        self.namespaces = Namespaces(namespaces)
        self.hub = HubCore(
            HubOptions(
                broker=self.broker,
                clock=self.clock,
                random=drawn.randbytes,
                spawn=self.spawn,
                log=self._log,
                limits=self.limits,
                namespaces=self.namespaces,
                anonymous=anonymous,
                authenticator=authenticator,
                reserved_names=reserved_names,
                version="0",
                node=node,
            )
        )
        self._encoders = {
            "json": JsonEncoder(),
            "msgpack": MsgpackEncoder(),
            "classic": ClassicEncoder(),
            "raw": RawEncoder(),
        }
        self._run(self.broker.start(self.hub.delivery))
        if self.hub.cluster is not None:
            self.hub.cluster.start()

    # --- Clients -----------------------------------------------------------------------------------------------------

    def client(self, kind: str = "json", *, name: str | None = None, token: str | None = None, **peer: Any) -> Client:
        """Connect; with a name or a token also say who it is."""
        client = Client(self, kind, Peer(**peer))
        if kind == "classic" and name is not None:
            client.send({"type": "login", "content": name} | ({"token": token} if token else {}))
            self.settle()
        elif name is not None or token is not None:
            client.ask("connect", **({"name": name} if name else {}), **({"token": token} if token else {}))
        return client

    def protocol(self, kind: str) -> ServerProtocol:
        """Return a protocol for one more connection."""
        encoder: Any = self._encoders[kind]
        if kind == "classic":
            return ClassicProtocol(self.limits, encoder)
        if kind == "raw":
            return BroadcastProtocol(self.limits, encoder)
        return ChappeProtocol(self.limits, encoder, msgpack=kind == "msgpack")

    # --- Time --------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let time pass until nothing happens any more."""
        while True:
            before = self.activity
            self.clock.advance(QUIET_S)
            if self.activity == before:
                return

    def spawn(self, awaitable: Awaitable[Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Run an awaitable whose end is made of gates; as on an event loop it begins after this call."""

        async def run() -> Any:
            return await awaitable

        coroutine = run()

        def step() -> None:
            self.activity += 1
            try:
                gate = coroutine.send(None)
            except StopIteration as end:
                done(end.value, None)
            except Exception as error:
                done(None, error)
            else:
                gate.add(step)

        self.clock.call_later(0, step)

    def sleep(self, seconds: float) -> Gate:
        """Return a gate that time opens."""
        gate = Gate()
        self.clock.call_later(seconds, gate.open)
        return gate

    # --- The application ---------------------------------------------------------------------------------------------

    def append(self, channel: str, value: Any = None, **options: Any) -> Outcome:
        """Store a publication behind the hub's back and return what the broker said."""
        outcomes: list[Outcome] = []
        entry = Append(
            channel,
            msgspec.json.encode(value),
            Kind.JSON,
            self.clock.wall_ms(),
            self.namespaces.of(channel),
            **options,
        )
        self.broker.append((entry,), outcomes.extend)
        self.settle()
        return outcomes[0]

    def take_errors(self) -> list[str]:
        """Return the errors logged, which were expected."""
        errors, self.errors = self.errors, []
        return errors

    def stop(self) -> None:
        """Stop the broker."""
        self._run(self.broker.stop())

    def _log(self, level: str, message: str, *values: object) -> None:
        self.log.append((level, message % values))
        if level == "ERROR":
            self.errors.append(message % values)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            coroutine.send(None)
        except StopIteration:
            return
        raise AssertionError("the broker awaits something that never comes here")


class SpyBroker:
    """Stands before a broker, notes every call and can hold back what it answers.

    Attributes:
        calls: name of each call, and what it concerned.
        held: answers that wait for `let_go`, if `holds` names their call.
    """

    def __init__(self, inner: Broker) -> None:
        self.inner = inner
        self.name = inner.name
        self.durable = inner.durable
        self.shared = inner.shared
        self.calls: list[tuple[str, str]] = []
        self.holds: set[str] = set()
        self.held: list[Callable[[], None]] = []
        self.on_call: Callable[[str, str], None] = lambda call, channel: None

    async def start(self, sink: BrokerSink) -> None:
        """Start the broker."""
        await self.inner.start(sink)

    async def stop(self) -> None:
        """Stop the broker."""
        await self.inner.stop()

    def append(self, batch: Any, done: Any) -> None:
        """Store; `holds` delays the storing itself, so that what comes with it is late too."""
        for item in batch:
            self._note("append", item.channel)
        if "append" in self.holds:
            self.held.append(lambda: self.inner.append(batch, done))
        else:
            self.inner.append(batch, done)

    def read(self, request: Any, done: Any) -> None:
        """Read; `holds` delays the answer, which is as old as the question."""
        self._note("read", request.channel)
        self.inner.read(request, self._late("read", done))

    def read_log(self, request: Any, done: Any) -> None:
        """Read the log; `holds` as for `read`."""
        self._note("read_log", request.pattern)
        self.inner.read_log(request, self._late("read_log", done))

    def attach(self, channel: str) -> None:
        """Attach."""
        self._note("attach", channel)
        self.inner.attach(channel)

    def detach(self, channel: str) -> None:
        """Detach."""
        self._note("detach", channel)
        self.inner.detach(channel)

    def let_go(self) -> None:
        """Give the answers that were held back, and hold no more."""
        self.holds = set()
        held, self.held = self.held, []
        for answer in held:
            answer()

    def count(self, call: str) -> int:
        """Return how often a call was made."""
        return sum(made == call for made, _ in self.calls)

    def _note(self, call: str, channel: str) -> None:
        self.calls.append((call, channel))
        self.on_call(call, channel)

    def _late(self, call: str, done: Any) -> Any:
        if call not in self.holds:
            return done
        return lambda result: self.held.append(lambda: done(result))


def since(answer: Mapping[str, Any], offset: int | None = None) -> dict[str, Any]:
    """Return the position of an answer as a command takes it."""
    return {"epoch": answer["epoch"], "offset": answer["offset"] if offset is None else offset}
