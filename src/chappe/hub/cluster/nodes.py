"""Which nodes there are: each says so every few seconds, and who is not heard any more is gone."""

from collections.abc import Callable
from typing import Any, Final

from chappe.hub.cluster.bus import ECHOED, Bus, Tell
from chappe.hub.contracts import Clock, Log, Timer

#: Seconds between two signs of life; three may be lost.
BEAT_S: Final = 2.0
#: Seconds without one after which a node is gone: what it had is free for others. Well above a long pause of the
#: garbage collector or of an engine that fails over.
NODE_TTL_S: Final = 10.0
#: Nodes remembered as gone, to be told so if they come back.
_MOST_LOST: Final = 256
#: Seconds without our own signs of life after which the others get all their time again.
_SILENCE_S: Final = 2 * BEAT_S
#: How often a node is told that it was gone, until it answers.
_TELLINGS: Final = 5


class Nodes:
    """The other nodes of the cluster.

    A node that cannot hear its own signs of life is cut off from the engine: others take it for gone after
    `NODE_TTL_S`, and so must it itself.

    Attributes:
        on_join, on_gone: called with a node that came, or that is gone.
        on_leave: called with a node that goes in good order and its heir, before `on_gone`.
        on_return: called when we may have been gone to others: the engine carries our messages again, or one says so.
        lost: nodes that ended without a word.
    """

    def __init__(self, bus: Bus, clock: Clock, log: Log) -> None:
        self._bus = bus
        self._clock = clock
        self._log = log
        self._heard: dict[str, float] = {}
        self._heard_self = 0.0
        self._was_cut_off = False
        self._started = 0.0
        self._timer: Timer | None = None
        self.on_join: list[Callable[[str], None]] = []
        self.on_gone: list[Callable[[str], None]] = []
        self.on_leave: list[Callable[[str, str], None]] = []
        self.on_return: list[Callable[[], None]] = []
        self.lost = 0
        self._lost: dict[str, None] = {}
        bus.on(ECHOED, self._alive)
        bus.on("hello", self._hello)
        bus.on("leaving", self._leaving, str | None)
        bus.on("gone", self._were_gone)

    def start(self) -> None:
        """Say that we are here, and ask who else is."""
        self._started = self._heard_self = self._clock.now()
        self._bus.tell("hello", None)
        self._beat()

    def stop(self, heir: str | None = None) -> None:
        """Say that we go, and who has what our sessions left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._bus.tell("leaving", heir)

    @property
    def others(self) -> frozenset[str]:
        """The other nodes that are alive."""
        return frozenset(self._heard)

    @property
    def newest(self) -> str | None:
        """The node that came last of those that are alive; None: there is none."""
        return next(reversed(self._heard), None)

    @property
    def known_s(self) -> float:
        """For how long this node has asked who else is there, seconds; an engine answers in milliseconds."""
        return self._clock.now() - self._started if self._timer is not None else 0.0

    @property
    def is_cut_off(self) -> bool:
        """Whether others must take us for gone."""
        return self._clock.now() - self._heard_self >= NODE_TTL_S

    def is_alive(self, node: str) -> bool:
        """Tell whether a node may still be there: this one, one that was heard, or any as long as we are new here."""
        if node == self._bus.node or node in self._heard:
            return True
        # Who never heard itself has not heard the others either, however long it has been here.
        return self._heard_self - self._started < NODE_TTL_S

    def _beat(self) -> None:
        self._timer = self._clock.call_later(BEAT_S, self._beat)
        if self.is_cut_off:
            self._was_cut_off = True
        self._bus.tell(ECHOED, None)
        # Measured by what the engine carried of ours: while it carries nothing nobody is gone for that.
        for node in [node for node, heard in self._heard.items() if self._heard_self - heard >= NODE_TTL_S]:
            self.lost += 1
            self._log("WARNING", "node %s is gone: nothing heard for %s seconds", node, NODE_TTL_S)
            self._lost[node] = None
            if len(self._lost) > _MOST_LOST:
                del self._lost[next(iter(self._lost))]
            self._forget(node)

    def _hello(self, sender: str, body: Any, answer: Tell) -> None:
        self._hear(sender)
        self._bus.tell(ECHOED, None, sender)

    def _alive(self, sender: str, body: Any, answer: Tell) -> None:
        if sender != self._bus.node:
            is_known = sender in self._heard
            self._hear(sender)
            if not is_known:
                # It did not say hello: it was there before, and what it has we may have taken for free, or it what we
                # have.
                self._return()
            return
        now = self._clock.now()
        if now - self._heard_self > _SILENCE_S:
            # The engine carries messages again: the others' come as ours did.
            self._heard = dict.fromkeys(self._heard, now)
        self._heard_self = now
        if self._was_cut_off:
            self._was_cut_off = False
            self._log("WARNING", "messages reach the other nodes again")
            self._return()

    def _tell_gone(self, node: str, left: int) -> None:
        """Tell a node that others may have taken what it has; again if the word was lost: it would keep it for long."""

        def answered(answers: dict[str, Any]) -> None:
            if not answers and left > 1 and node in self._heard and self._timer is not None:
                self._tell_gone(node, left - 1)

        self._bus.ask("gone", None, (node,), answered, of=bool)

    def _were_gone(self, sender: str, body: Any, answer: Tell) -> None:
        """Learn that another node did not hear us, although we heard ourselves."""
        answer(True)
        self._log("WARNING", "node %s had not heard this one", sender)
        self._return()

    def _return(self) -> None:
        for told in self.on_return:
            told()

    def _leaving(self, sender: str, body: str | None, answer: Tell) -> None:
        if body is not None:
            for told in self.on_leave:
                told(sender, body)
        if sender in self._heard:
            self._forget(sender)

    def _hear(self, node: str) -> None:
        is_new = node not in self._heard
        self._heard[node] = self._clock.now()
        if is_new:
            self._log("INFO", "node %s is here", node)
            if node in self._lost:
                del self._lost[node]
                self._tell_gone(node, _TELLINGS)
            for told in self.on_join:
                told(node)

    def _forget(self, node: str) -> None:
        del self._heard[node]
        self._bus.forget(node)
        for told in self.on_gone:
            told(node)
