"""Messages between nodes, as publications of the broker that they share.

A message is told at most once and may be lost with the connection to the engine: who needs an answer asks and has a
timeout, who needs a state asks for it again.
"""

from collections.abc import Callable, Collection
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from chappe.hub.contracts import Append, Broker, Clock, Log, Outcome, Timer
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind, Publication

#: The channels of the hub itself; no client may read or write them.
PREFIX: Final = "$hub/"
#: How long a node waits for the answers of others, seconds: an engine in the same place answers in milliseconds, and a
#: client that connects is waiting.
ANSWER_TIMEOUT_S: Final = 2.0
#: Bytes in one publication; NATS takes a megabyte. What is larger goes in parts.
PART_BYTES: Final = 524_288
#: Parts that wait for their last one, in bytes; beyond, the oldest are given up.
_MAX_WAITING_BYTES: Final = 67_108_864
_EVERYBODY: Final = f"{PREFIX}all"
_LIVE: Final = Namespace(name="$hub", level=Level.LIVE)

Tell: TypeAlias = Callable[[Any], None]


class Handler(Protocol):
    """What a node does with one kind of message."""

    def __call__(self, sender: str, body: Any, answer: Tell) -> None:
        """Take a message of another node; `answer` sends a value back, once, if it asked."""


class _Envelope(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True, tag=True, gc=False):
    """One message.

    Attributes:
        number: of a question; its answer has the same.
        is_answer: whether it is one.
    """

    kind: str
    sender: str
    body: msgspec.Raw
    number: int = 0
    is_answer: bool = False


class _Part(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """A piece of a message.

    Attributes:
        message: names the message among those of its sender.
        index, count: which piece it is, from 0, and of how many.
    """

    sender: str
    message: int
    index: int
    count: int
    data: bytes


class _Asked:
    __slots__ = ("answers", "done", "missing", "of", "timer")

    def __init__(self, missing: set[str], done: Callable[[dict[str, Any]], None], of: Any) -> None:
        self.missing = missing
        self.answers: dict[str, Any] = {}
        self.done = done
        self.of = of
        self.timer: Timer | None = None


class Bus:
    """The messages of one node.

    Attributes:
        node: who this is.
        sent, received, malformed, unanswered, incomplete: messages counted.
    """

    def __init__(self, node: str, broker: Broker, clock: Clock, log: Log) -> None:
        self.node = node
        self.sent = self.received = self.malformed = self.unanswered = self.incomplete = 0
        self._parts: dict[tuple[str, int], list[bytes]] = {}
        self._parts_bytes = 0
        self._cut = 0
        self._broker = broker
        self._clock = clock
        self._log = log
        self._handlers: dict[str, tuple[Handler, Any]] = {}
        self._asked: dict[int, _Asked] = {}
        self._numbers = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoder = msgspec.msgpack.Decoder(_Envelope | _Part)

    def on(self, kind: str, handler: Handler, of: Any = Any) -> None:
        """Let a handler take the messages of a kind whose body is of a type; others are counted as malformed."""
        assert kind not in self._handlers, f"{kind} is taken already"
        self._handlers[kind] = handler, of

    def start(self) -> None:
        """Listen."""
        self._broker.attach(_EVERYBODY)
        self._broker.attach(_inbox(self.node))

    def stop(self) -> None:
        """Listen no more; questions end with what was answered."""
        self._broker.detach(_EVERYBODY)
        self._broker.detach(_inbox(self.node))
        for number in tuple(self._asked):
            self._end(number)

    def follow(self, topic: str) -> None:
        """Take what is told to a topic: a channel of the hub's own that only some nodes listen to."""
        self._broker.attach(topic)

    def unfollow(self, topic: str) -> None:
        """Take it no more."""
        self._broker.detach(topic)

    def tell(self, kind: str, body: Any, node: str | None = None, *, topic: str | None = None) -> None:
        """Send a message to a node, to who follows a topic, or to all."""
        channel = topic or (_EVERYBODY if node is None else _inbox(node))
        self._send(channel, _Envelope(kind, self.node, self._raw(body)))

    def ask(
        self,
        kind: str,
        body: Any,
        nodes: Collection[str],
        done: Callable[[dict[str, Any]], None],
        timeout_s: float = ANSWER_TIMEOUT_S,
        of: Any = Any,
    ) -> None:
        """Ask other nodes; `done` gets what each answered, once all did or the time is over.

        Who did not answer, or with what is not of the type, is not in it. With nobody to ask it is called inside this
        call.
        """
        others = set(nodes) - {self.node}
        if not others:
            done({})
            return
        self._numbers += 1
        number = self._numbers
        asked = self._asked[number] = _Asked(others, done, of)
        asked.timer = self._clock.call_later(timeout_s, lambda: self._end(number))
        envelope = _Envelope(kind, self.node, self._raw(body), number)
        self._send(_inbox(*others) if len(others) == 1 else _EVERYBODY, envelope)

    def forget(self, node: str) -> None:
        """Wait no more for the answers of a node that is gone, nor for the rest of what it began to say."""
        for key in [key for key in self._parts if key[0] == node]:
            self._give_up(key)
        for number, asked in tuple(self._asked.items()):
            asked.missing.discard(node)
            if not asked.missing:
                self._end(number)

    def receive(self, publication: Publication) -> None:
        """Take what the broker's feed brings on a channel of the bus."""
        self._take(publication.payload)

    def _take(self, payload: bytes, is_joined: bool = False) -> None:
        try:
            envelope = self._decoder.decode(payload)
            if isinstance(envelope, _Part):
                if not is_joined:
                    self._join(envelope)
                    return
                raise msgspec.DecodeError("a part of parts")
            asked = self._asked.get(envelope.number) if envelope.is_answer else None
            handler, of = self._handlers.get(envelope.kind, (None, Any))
            body = msgspec.msgpack.decode(envelope.body, type=asked.of if asked is not None else of)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Somebody else writes to the engine, or a newer version; none of our affair but to be counted.
            self.malformed += 1
            return
        if envelope.is_answer:
            self._answered(envelope, asked, body)
        # A newer version may say what we do not know; and what we told all comes to us too.
        elif handler is not None and (envelope.sender != self.node or envelope.kind == ECHOED):
            self.received += 1
            handler(envelope.sender, body, self._answer_to(envelope))

    def _join(self, part: _Part) -> None:
        """Keep a part; take the message when its last one is there. Parts of one sender come in order."""
        key = (part.sender, part.message)
        found = self._parts.setdefault(key, [])
        if part.index != len(found) or not part.data or part.sender == self.node:
            self._give_up(key)
            return
        found.append(part.data)
        self._parts_bytes += len(part.data)
        if len(found) == part.count:
            del self._parts[key]
            self._parts_bytes -= sum(map(len, found))
            self._take(b"".join(found), True)
        while self._parts_bytes > _MAX_WAITING_BYTES:
            self._give_up(next(iter(self._parts)))

    def _give_up(self, key: tuple[str, int]) -> None:
        """Forget what came of a message that has a piece missing."""
        found = self._parts.pop(key)
        self._parts_bytes -= sum(map(len, found))
        if found:
            self.incomplete += 1

    def _answer_to(self, question: _Envelope) -> Tell:
        if not question.number:
            return _nothing

        def answer(value: Any) -> None:
            reply = _Envelope(question.kind, self.node, self._raw(value), question.number, True)
            self._send(_inbox(question.sender), reply)

        return answer

    def _answered(self, envelope: _Envelope, asked: _Asked | None, body: Any) -> None:
        if asked is None or envelope.sender not in asked.missing:
            return
        asked.missing.discard(envelope.sender)
        asked.answers[envelope.sender] = body
        if not asked.missing:
            self._end(envelope.number)

    def _end(self, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is None:
            return
        if asked.timer is not None:
            asked.timer.cancel()
        self.unanswered += len(asked.missing)
        asked.done(asked.answers)

    def _send(self, channel: str, envelope: _Envelope) -> None:
        self.sent += 1
        payload = self._encode(envelope)
        payloads = [payload] if len(payload) <= PART_BYTES else self._pieces(payload)
        now_ms = self._clock.wall_ms()
        batch = [Append(channel, each, Kind.BINARY, now_ms, _LIVE) for each in payloads]
        self._broker.append(batch, self._appended)

    def _pieces(self, payload: bytes) -> list[bytes]:
        self._cut += 1
        starts = range(0, len(payload), PART_BYTES)
        return [
            self._encode(_Part(self.node, self._cut, index, len(starts), payload[start : start + PART_BYTES]))
            for index, start in enumerate(starts)
        ]

    def _appended(self, outcomes: Any) -> None:
        outcome: Outcome = outcomes[0]
        if outcome.error:
            self._log("DEBUG", "a message to other nodes was not sent: %s", outcome.error)

    def _raw(self, body: Any) -> msgspec.Raw:
        return msgspec.Raw(self._encode(body))


#: The kind of message that its own sender hears too: so it knows that the engine still carries messages.
ECHOED: Final = "alive"


def _inbox(node: str) -> str:
    return f"{PREFIX}node/{node}"


def _nothing(value: Any) -> None:
    """Answer nobody."""
