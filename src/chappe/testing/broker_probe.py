"""A hub's end of a broker, for tests: it asks, waits for answers, and writes down what the broker does."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chappe.hub.contracts import Append, Broker, Outcome, Read, ReadLog, ReadLogResult, ReadResult
from chappe.model.position import Position
from chappe.model.publication import Publication

Sleep = Callable[[float], Awaitable[Any]]
"""Let so many seconds pass: `asyncio.sleep`, or `FakeClock.sleep`."""

#: How often an answer is looked for, seconds.
_STEP_S = 0.005


class ContractBroken(AssertionError):
    """A broker did what its contract forbids; the text says what and where."""


def demand(condition: object, text: str) -> None:
    """Raise unless the condition holds.

    Raises:
        ContractBroken: it does not hold.
    """
    if not condition:
        raise ContractBroken(text)


class Pending:
    """Appends that wait for their outcomes."""

    def __init__(self, batch: Sequence[Append], then: Callable[[Sequence[Outcome]], None] | None = None) -> None:
        self.batch = batch
        self.outcomes: Sequence[Outcome] | None = None
        self._then = then

    def done(self, outcomes: Sequence[Outcome]) -> None:
        """Take the outcomes; checks that they come once and are as many as the appends."""
        demand(self.outcomes is None, "the outcomes of a batch came twice")
        demand(
            len(outcomes) == len(self.batch),
            f"{len(outcomes)} outcomes came for {len(self.batch)} appends",
        )
        self.outcomes = tuple(outcomes)
        if self._then is not None:
            self._then(outcomes)


class Probe:
    """A sink that keeps everything, with awaitable calls; checks on the way what is checkable at once.

    Attributes:
        feed: every publication of the feed, in the order it came.
        interruptions: what `interrupted` was called with.
        told: positions of outcomes so far; a publication must not come before its own.
        on_published: called with each batch of the feed, after it was written down.
    """

    def __init__(self, broker: Broker, sleep: Sleep, patience_s: float) -> None:
        self.broker = broker
        self.feed: list[Publication] = []
        self.interruptions: list[Sequence[str] | None] = []
        self.told: set[tuple[str, str, int]] = set()
        self.on_published: Callable[[Sequence[Publication]], None] | None = None
        self._sleep = sleep
        self._patience_s = patience_s

    # --- BrokerSink --------------------------------------------------------------------------------------------------

    def published(self, batch: Sequence[Publication]) -> None:
        """Take a part of the feed."""
        demand(batch, "the feed brought an empty batch")
        for publication in batch:
            where = (publication.channel, publication.epoch, publication.offset)
            demand(
                publication.transient or where in self.told,
                f"the feed brought {where} before its outcome was told",
            )
            demand(not publication.retained, f"the feed marked {where} as retained")
            self.feed.append(publication)
        if self.on_published is not None:
            self.on_published(batch)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Take an interruption."""
        self.interruptions.append(channels)

    # --- Asking ------------------------------------------------------------------------------------------------------

    def append_later(self, *batch: Append, then: Callable[[Sequence[Outcome]], None] | None = None) -> Pending:
        """Append without waiting; the outcomes show up in what is returned."""
        pending = Pending(batch, then)

        def done(outcomes: Sequence[Outcome]) -> None:
            for item, outcome in zip(batch, outcomes, strict=False):
                if outcome.error == 0:
                    self.told.add((item.channel, outcome.position.epoch, outcome.position.offset))
            pending.done(outcomes)

        self.broker.append(batch, done)
        return pending

    async def append(self, *batch: Append) -> Sequence[Outcome]:
        """Append and wait for the outcomes."""
        pending = self.append_later(*batch)
        await self.until(lambda: pending.outcomes is not None, "the outcomes of a batch")
        assert pending.outcomes is not None
        return pending.outcomes

    async def store(self, *batch: Append) -> list[Position]:
        """Append, wait, and check that everything was stored."""
        outcomes = await self.append(*batch)
        for item, outcome in zip(batch, outcomes, strict=True):
            demand(outcome.error == 0, f"an append to {item.channel!r} was answered {outcome.error}, expected 0")
        return [outcome.position for outcome in outcomes]

    async def read(self, request: Read) -> ReadResult:
        """Read and wait for the answer."""
        answers: list[ReadResult] = []
        self.broker.read(request, answers.append)
        await self.until(lambda: answers, "the answer to a read")
        demand(len(answers) == 1, "a read was answered twice")
        return answers[0]

    async def read_log(self, request: ReadLog) -> ReadLogResult:
        """Read across channels and wait for the answer."""
        answers: list[ReadLogResult] = []
        self.broker.read_log(request, answers.append)
        await self.until(lambda: answers, "the answer to a read of the log")
        demand(len(answers) == 1, "a read of the log was answered twice")
        return answers[0]

    # --- Waiting -----------------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is the case.

        Raises:
            ContractBroken: it did not come about in time.
        """
        waited_s = 0.0
        while not condition():
            demand(waited_s < self._patience_s, f"{what} did not come within {self._patience_s} s")
            await self._sleep(_STEP_S)
            waited_s += _STEP_S

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        await self._sleep(seconds)

    async def fed(self, channel: str, count: int) -> list[Publication]:
        """Wait for so many publications of a channel, then a moment longer for one too many, and return them."""

        def of_channel() -> list[Publication]:
            return [publication for publication in self.feed if publication.channel == channel]

        await self.until(lambda: len(of_channel()) >= count, f"publication {count} of {channel!r}")
        await self._sleep(4 * _STEP_S)
        demand(len(of_channel()) == count, f"the feed of {channel!r} has {len(of_channel())}, expected {count}")
        return of_channel()
