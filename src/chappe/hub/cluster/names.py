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
#: How often records are looked at again that the engine did not show, seconds; there may be very many.
_REPAIR_S: Final = 5.0

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
    """The names that sessions of this node have claimed, held against all others.

    A session that shows a claimed name has a claim here, from the moment it is told so until it ends: whoever loses its
    claim ends with it. Nobody gives a name up and stays, since the word of it may be lost.
    """

    def __init__(self, hub: "HubCore", bus: Bus, nodes: Nodes, records: Records) -> None:
        self._hub = hub
        self._bus = bus
        self._nodes = nodes
        self._records = records
        self._claims: dict[Session, _Claim] = {}
        self._sessions: dict[int, Session] = {}
        # Claims that the engine has not answered yet: they may be in force.
        self._pending: dict[int, Session] = {}
        self._numbers = 0
        self._sweep = Sweep(self._check)
        self._timer: Timer | None = None
        # By number, those whose records the engine did not show when they were looked at.
        self._unsure: dict[int, _Claim] = {}
        self._repairs = Sweep(self._check)
        self._timer_repair: Timer | None = None
        bus.on("name.user", self._user_came, str)
        bus.on("name.known", lambda sender, body, answer: answer(hub.names.is_known(body)), str)
        bus.on("name.probe", self._probe, _Probe)
        nodes.on_return.append(self.hold_again)

    def start(self) -> None:
        """Write what is held again now and then, so that the engine does not forget it."""
        self._timer = self._hub.clock.call_later(_RENEWAL_S, self._renew)

    def stop(self) -> None:
        """Write nothing more."""
        for timer in (self._timer, self._timer_repair):
            if timer is not None:
                timer.cancel()
        self._timer = self._timer_repair = None

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

    def pass_on(self, name: str, holder: "Session", heir: "Session") -> bool:
        """Let a session have the claim of another of this node, which comes back as it, and must end now.

        The engine is not asked: for it and for the other nodes nothing changes.

        Returns:
            False, and nothing changed: it is not known yet whether the holder has the name.
        """
        claim = self._claims.get(holder)
        if claim is None or claim.key != skeleton(name) or holder in self._pending.values():
            return False
        self.release(heir)
        del self._claims[holder]
        self._claims[heir] = claim
        self._sessions[claim.number] = heir
        return True

    def release(self, session: "Session") -> None:
        """Let go of what a session has."""
        claim = self._claims.pop(session, None)
        if claim is None:
            return
        del self._sessions[claim.number]
        self._unsure.pop(claim.number, None)
        self._let_go(claim, _ignore)

    def user_came(self, user: str) -> None:
        """Tell the others of a user's first session here: who had claimed that name elsewhere loses it."""
        self._bus.tell("name.user", skeleton(user))

    def _take(
        self,
        session: "Session",
        claim: _Claim,
        resume: str | None,
        done: Done,
        dead: _Record | None = None,
        asks: bool = True,
    ) -> None:
        """Write the claim, if nobody's is in force; otherwise ask the holder.

        Args:
            dead: a claim whose node knows nothing of it.
            asks: False: another's claim is taken for alive.
        """

        def decide(value: _Record | None) -> Any:
            if session.is_over:
                # The registry may have given the name to the next one here, whose record this would take away.
                return KEEP
            # On this node the registry has decided already.
            if value is None or value["node"] == self._bus.node or value == dead:
                return self._value(claim)
            return KEEP if self._nodes.is_alive(value["node"]) else self._value(claim)

        def changed(result: Changed) -> None:
            self._pending.pop(claim.number, None)
            if result.done:
                self._won(session, claim, done)
            elif result.error:
                done(ChappeError(result.error))
            elif asks and not session.is_over:
                self._ask_holder(session, claim, result.value, resume, done)
            else:
                done(ChappeError(Code.NAME_IN_USE, detail={"name": claim.name}))

        self._pending[claim.number] = session
        self._records.change(_record(claim.key), decide, changed, _Record)

    def _won(self, session: "Session", claim: _Claim, done: Done) -> None:
        self.release(session)
        self._claims[session] = claim
        self._sessions[claim.number] = session
        if session.is_over:
            self.release(session)
        done(None)

    def _ask_holder(self, session: "Session", claim: _Claim, held: _Record, resume: str | None, done: Done) -> None:
        """Ask the node of the present holder whether it lives; it ends a dead one, or one that comes back here."""

        def answered(answers: dict[str, Any]) -> None:
            is_alive = answers.get(held["node"])
            if is_alive:
                done(ChappeError(Code.NAME_IN_USE, detail={"name": claim.name}))
            elif is_alive is False:
                self._take(session, claim, None, done, held)
            else:
                # Who does not answer may be busy: a name is not taken from somebody who may be there. But the answer
                # may be what was lost, and the holder gone.
                self._take(session, claim, None, done, asks=False)

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
            # It comes back on the other node, which asks next what its handle stands for. It ends before the answer:
            # whether that arrives or not, it does not show a name that another may have.
            session.close(Code.STALE)
            answer(False)
            return

        def probed(alive: bool) -> None:
            if not alive:
                session.close(Code.NO_PONG)
            # The end has freed the name; its record changes before the asker's own try, or makes it try again.
            answer(alive)

        self._hub.counters.probes += 1
        session.link.probe(self._hub.limits.name_probe_s, probed)

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
        self._sweep.begin([(claim, renew) for claim in self._claims.values()])

    def _check(self, item: tuple[_Claim, bool], looked: Callable[[], None]) -> None:
        # Whoever has the claim: it may have been passed on.
        claim, renew = item
        mine = self._value(claim)

        def decide(value: _Record | None) -> Any:
            if claim.number not in self._sessions or (value == mine and not renew):
                return KEEP
            return KEEP if value is not None and value != mine and self._is_anothers(value) else mine

        def changed(result: Changed) -> None:
            session = self._sessions.get(claim.number)
            if session is not None and result.error:
                self._unsure[claim.number] = claim
                self._repair_soon()
            elif session is not None:
                self._unsure.pop(claim.number, None)
                if not result.done and result.value != mine:
                    session.close(Code.NAME_IN_USE_CLOSE)
            looked()

        self._records.change(_record(claim.key), decide, changed, _Record)

    def _is_anothers(self, value: _Record) -> bool:
        """Tell whether a record is of somebody who may be here, on this node or another."""
        if value["node"] == self._bus.node:
            return value["number"] in self._sessions or value["number"] in self._pending
        return self._nodes.is_alive(value["node"])

    def _repair_soon(self) -> None:
        if self._timer_repair is None:
            self._timer_repair = self._hub.clock.call_later(_REPAIR_S, self._repair)

    def _repair(self) -> None:
        self._timer_repair = None
        if not self._unsure:
            return
        # While nothing comes from the engine it is not asked either; all is looked at when it does again.
        if not self._nodes.is_cut_off:
            self._repairs.begin([(claim, True) for claim in self._unsure.values()])
        self._repair_soon()

    def _renew(self) -> None:
        self._timer = self._hub.clock.call_later(_RENEWAL_S, self._renew)
        self.hold_again(renew=True)

    def _value(self, claim: _Claim) -> _Record:
        return {"node": self._bus.node, "number": claim.number, "name": claim.name}


def _record(key: str) -> str:
    return f"name/{key}"


def _ignore(result: Changed) -> None:
    """A record that could not be freed is free when its node is asked, or gone."""
