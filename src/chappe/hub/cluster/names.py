"""Claimed names are unique among all nodes: a record each, and a question to the others about users."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypedDict

import msgspec

from chappe.hub.cluster.bus import Bus, Tell
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.cluster.records import KEEP, RECORD_AGE_S, Changed, Records, Sweep
from chappe.hub.contracts import Timer
from chappe.hub.names import skeleton
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore
    from chappe.hub.session import Session

#: Beyond the probe's own time, for the way there and back, seconds.
_WAY_S: Final = 1.0
_RENEWAL_S: Final = RECORD_AGE_S / 4

Done = Callable[[ChappeError | None], None]


class _Record(TypedDict):
    node: str
    number: int
    name: str


class _Probe(TypedDict):
    number: int
    resume: str
    user: str | None


class _Claim(msgspec.Struct, gc=False):
    """What a session of this node has.

    Attributes:
        number: names the claim among all of this node.
    """

    key: str
    name: str
    number: int


class SharedNames:
    """The names that sessions of this node have claimed, held against all others."""

    def __init__(self, hub: "HubCore", bus: Bus, nodes: Nodes, records: Records) -> None:
        self._hub = hub
        self._bus = bus
        self._nodes = nodes
        self._records = records
        self._claims: dict[Session, _Claim] = {}
        self._sessions: dict[int, Session] = {}
        # Claims that the engine has not answered yet: they may be in force.
        self._pending: set[int] = set()
        self._numbers = 0
        self._sweep = Sweep(self._check)
        self._timer: Timer | None = None
        bus.on("name.user", self._user_came, str)
        bus.on("name.known", lambda sender, body, answer: answer(hub.names.is_known(body)), str)
        bus.on("name.probe", self._probe, _Probe)
        nodes.on_return.append(self.hold_again)

    def start(self) -> None:
        """Write what is held again now and then, so that the engine does not forget it."""
        self._timer = self._hub.clock.call_later(_RENEWAL_S, self._renew)

    def stop(self) -> None:
        """Write nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def claim(self, session: "Session", name: str, resume: str | None, done: Done) -> None:
        """Hold a name that the session has on this node against all others; 115 if a live session elsewhere has it."""
        key = skeleton(name)

        def asked(answers: dict[str, Any]) -> None:
            if any(answers.values()):
                done(ChappeError(Code.NAME_IN_USE, detail={"name": name}))
            else:
                self._numbers += 1
                self._take(session, _Claim(key, name, self._numbers), resume, done)

        self._bus.ask("name.known", key, self._nodes.others, asked, of=bool)

    def release(self, session: "Session") -> None:
        """Let go of what a session has."""
        claim = self._claims.pop(session, None)
        if claim is None:
            return
        del self._sessions[claim.number]
        self._let_go(claim, _ignore)

    def user_came(self, user: str) -> None:
        """Tell the others of a user's first session here: who had claimed that name elsewhere loses it."""
        self._bus.tell("name.user", skeleton(user))

    def _take(
        self, session: "Session", claim: _Claim, resume: str | None, done: Done, dead: _Record | None = None
    ) -> None:
        """Write the claim, if nobody's is in force; `dead` is one whose node knows nothing of it."""

        def decide(value: _Record | None) -> Any:
            # On this node the registry has decided already.
            if value is None or value["node"] == self._bus.node or value == dead:
                return self._value(claim)
            return KEEP if self._nodes.is_alive(value["node"]) else self._value(claim)

        def changed(result: Changed) -> None:
            self._pending.discard(claim.number)
            if result.done:
                self._won(session, claim, done)
            elif result.error:
                done(ChappeError(result.error))
            else:
                self._ask_holder(session, claim, result.value, resume, done)

        self._pending.add(claim.number)
        self._records.change(_record(claim.key), decide, changed, _Record)

    def _won(self, session: "Session", claim: _Claim, done: Done) -> None:
        self.release(session)
        self._claims[session] = claim
        self._sessions[claim.number] = session
        if session.is_over:
            self.release(session)
        done(None)

    def _ask_holder(self, session: "Session", claim: _Claim, held: _Record, resume: str | None, done: Done) -> None:
        """Ask the node of the present holder whether it lives; it gives a dead one's name up by itself."""

        def answered(answers: dict[str, Any]) -> None:
            # Who does not answer may be busy: a name is not taken from somebody who may be there.
            if answers.get(held["node"]) is False:
                self._take(session, claim, None, done, held)
            else:
                done(ChappeError(Code.NAME_IN_USE, detail={"name": claim.name}))

        question = {"number": held["number"], "resume": resume or "", "user": session.user}
        timeout_s = self._hub.limits.name_probe_s + _WAY_S
        self._bus.ask("name.probe", question, (held["node"],), answered, timeout_s, bool)

    def _probe(self, sender: str, body: Any, answer: Tell) -> None:
        session = self._sessions.get(body["number"])
        if session is None:
            answer(body["number"] in self._pending)
            return
        holder = self._hub.resumption.holder(body["resume"], body["user"]) if body["resume"] else None
        if holder is session:
            # It comes back on the other node; what its handle stands for is asked for there.
            self._give_up(session, answer)
            return

        def probed(alive: bool) -> None:
            if alive:
                answer(True)
                return
            session.close(Code.NO_PONG)
            self._free(body["number"], answer)

        self._hub.counters.probes += 1
        session.link.probe(self._hub.limits.name_probe_s, probed)

    def _give_up(self, session: "Session", answer: Tell) -> None:
        claim = self._claims[session]
        self._hub.names.release(session)
        self._free(claim.number, answer)

    def _free(self, number: int, answer: Tell) -> None:
        """Free a name, and answer only when it is free."""
        session = self._sessions.get(number)
        claim = self._claims.pop(session, None) if session is not None else None
        if claim is None:
            # The end of the session has freed it; its record changes before the asker's own try, or makes it try again.
            answer(False)
            return
        del self._sessions[number]
        self._let_go(claim, lambda _: answer(False))

    def _let_go(self, claim: _Claim, done: Callable[[Changed], None]) -> None:
        mine = self._value(claim)
        self._records.change(_record(claim.key), lambda value: None if value == mine else KEEP, done, _Record)

    def _user_came(self, sender: str, body: Any, answer: Tell) -> None:
        for session in self._hub.names.holders(body):
            if session.user is None:
                session.close(Code.NAME_IN_USE_CLOSE)

    def hold_again(self, renew: bool = False) -> None:
        """See what is still ours after others may have taken this node for gone, or the engine forgotten it.

        Args:
            renew: also write what is as it should be, so that the engine keeps it.
        """
        self._sweep.begin([(session, claim, renew) for session, claim in self._claims.items()])

    def _check(self, item: "tuple[Session, _Claim, bool]", looked: Callable[[], None]) -> None:
        session, claim, renew = item
        mine = self._value(claim)

        def decide(value: _Record | None) -> Any:
            if self._claims.get(session) is not claim or (value == mine and not renew):
                return KEEP
            return KEEP if value is not None and value != mine and self._is_anothers(value) else mine

        def changed(result: Changed) -> None:
            is_lost = not result.done and not result.error and result.value != mine
            if is_lost and self._claims.get(session) is claim:
                session.close(Code.NAME_IN_USE_CLOSE)
            looked()

        self._records.change(_record(claim.key), decide, changed, _Record)

    def _is_anothers(self, value: _Record) -> bool:
        """Tell whether a record is of somebody who may be here, on this node or another."""
        if value["node"] == self._bus.node:
            return value["number"] in self._sessions or value["number"] in self._pending
        return self._nodes.is_alive(value["node"])

    def _renew(self) -> None:
        self._timer = self._hub.clock.call_later(_RENEWAL_S, self._renew)
        self.hold_again(renew=True)

    def _value(self, claim: _Claim) -> _Record:
        return {"node": self._bus.node, "number": claim.number, "name": claim.name}


def _record(key: str) -> str:
    return f"name/{key}"


def _ignore(result: Changed) -> None:
    """A record that could not be freed is free when its node is asked, or gone."""
