"""Claimed names are unique among all nodes: a record each, and a question to the others about users."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chappe.hub.cluster.bus import Bus, Tell
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.cluster.records import KEEP, RECORD_AGE_S, Changed, Records
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
        self._numbers = 0
        self._timer: Timer | None = None
        bus.on("name.user", self._user_came)
        bus.on("name.known", lambda sender, body, answer: answer(hub.names.is_known(body)))
        bus.on("name.probe", self._probe)
        nodes.on_return.append(self._hold_again)

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

        self._bus.ask("name.known", key, self._nodes.others, asked)

    def release(self, session: "Session") -> None:
        """Let go of what a session has."""
        claim = self._claims.pop(session, None)
        if claim is None:
            return
        del self._sessions[claim.number]
        mine = self._value(claim)
        self._records.change(_record(claim.key), lambda value: None if value == mine else KEEP, _ignore)

    def user_came(self, user: str) -> None:
        """Tell the others of a user's first session here: who had claimed that name elsewhere loses it."""
        self._bus.tell("name.user", skeleton(user))

    def _take(self, session: "Session", claim: _Claim, resume: str | None, done: Done) -> None:
        def decide(value: Any) -> Any:
            # On this node the registry has decided already.
            if value is not None and value["node"] != self._bus.node and self._nodes.is_alive(value["node"]):
                return KEEP
            return self._value(claim)

        def changed(result: Changed) -> None:
            if result.done:
                self._won(session, claim, done)
            elif result.error:
                done(ChappeError(result.error))
            else:
                self._ask_holder(session, claim, result.value, resume, done)

        self._records.change(_record(claim.key), decide, changed)

    def _won(self, session: "Session", claim: _Claim, done: Done) -> None:
        self.release(session)
        self._claims[session] = claim
        self._sessions[claim.number] = session
        if session.is_over:
            self.release(session)
        done(None)

    def _ask_holder(self, session: "Session", claim: _Claim, held: Any, resume: str | None, done: Done) -> None:
        """Ask the node of the present holder whether it lives; it gives a dead one's name up by itself."""

        def answered(answers: dict[str, Any]) -> None:
            # Who does not answer may be busy: a name is not taken from somebody who may be there.
            if answers.get(held["node"]) is False:
                self._take(session, claim, None, done)
            else:
                done(ChappeError(Code.NAME_IN_USE, detail={"name": claim.name}))

        question = {"number": held["number"], "resume": resume or "", "user": session.user}
        timeout_s = self._hub.limits.name_probe_s + _WAY_S
        self._bus.ask("name.probe", question, (held["node"],), answered, timeout_s)

    def _probe(self, sender: str, body: Any, answer: Tell) -> None:
        session = self._sessions.get(body["number"])
        if session is None:
            answer(False)
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
        mine = self._value(claim)
        self._records.change(_record(claim.key), lambda value: None if value == mine else KEEP, lambda _: answer(False))

    def _user_came(self, sender: str, body: Any, answer: Tell) -> None:
        for session in self._hub.names.holders(body):
            if session.user is None:
                session.close(Code.NAME_IN_USE_CLOSE)

    def _hold_again(self) -> None:
        """See what is still ours after others took this node for gone."""
        for session, claim in tuple(self._claims.items()):
            self._check(session, claim)

    def _check(self, session: "Session", claim: _Claim) -> None:
        mine = self._value(claim)

        def decide(value: Any) -> Any:
            is_free = value is None or value["node"] == self._bus.node or not self._nodes.is_alive(value["node"])
            return mine if is_free else KEEP

        def changed(result: Changed) -> None:
            if not result.done and not result.error and self._claims.get(session) is claim:
                session.close(Code.NAME_IN_USE_CLOSE)

        self._records.change(_record(claim.key), decide, changed)

    def _renew(self) -> None:
        self._timer = self._hub.clock.call_later(_RENEWAL_S, self._renew)
        self._hold_again()

    def _value(self, claim: _Claim) -> dict[str, Any]:
        return {"node": self._bus.node, "number": claim.number, "name": claim.name}


def _record(key: str) -> str:
    return f"name/{key}"


def _ignore(result: Changed) -> None:
    """A record that could not be freed is free when its node is asked, or gone."""
