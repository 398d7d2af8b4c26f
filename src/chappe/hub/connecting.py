"""Connect: verify who it is, claim the name, ask the hooks, open the session; and all of it again at a refresh."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from chappe.hub.contracts import Claims, Identified, Timer
from chappe.hub.names import check_name
from chappe.hub.permissions import Action
from chappe.hub.resident import Resident
from chappe.hub.session import ANONYMOUS, CREDENTIALS_REFUSED, Session
from chappe.model.channels import check_channel
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore


class _Arrival(msgspec.Struct, kw_only=True):
    """A session on its way in.

    Attributes:
        answered: the id of the command that brought it, if it has one.
        name: the name that it wants; empty: none.
        resume: the handle that it goes on with, or None.
        opened: told when it is open, and whether it took another connection's place.
        claims: who it is, as soon as that is known.
    """

    session: Session
    answered: int | None
    name: str
    opened: Callable[[bool], None]
    resume: str | None = None
    claims: Claims = ANONYMOUS


class Connecting:
    """Carries out `connect`, `login` and `refresh`."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub

    def connect(self, session: Session, command: base.Connect) -> None:
        """Identify a session; answered with its ids.

        Raises:
            ChappeError: 107, it is identified already, or the name is none.
        """
        if session.is_open:
            raise ChappeError(Code.BAD_REQUEST, "a second connect on this connection", detail={"field": "type"})
        name = check_name(command.name) if command.name else ""

        def opened(resumed: bool) -> None:
            session.answer(self._connected(session, command.id, resumed))

        arrival = _Arrival(session=session, answered=command.id, name=name, resume=command.resume, opened=opened)
        self._open(arrival, command.token)

    def login(self, session: Session, command: base.Login) -> None:
        """Identify a session by its name and take it into a room.

        Raises:
            ChappeError: 103, another's name; 107, the name or the room is none.
        """
        name = check_name(command.name, "content")
        check_channel(command.channel, self._hub.limits.channel_bytes)

        def opened(_: bool) -> None:
            subscribe = base.Subscribe(command.id, command.channel, presence=True)
            session.execute(subscribe)

        arrival = _Arrival(session=session, answered=command.id, name=name, opened=opened)
        if not session.is_open:
            self._open(arrival, command.token)
            return
        # Opened by an earlier lock or by a login that did not get into its room: it may get a name, or another one.
        if session.user is not None and name != session.user:
            raise ChappeError(Code.PERMISSION_DENIED, detail={"field": "name", "expected": session.user})
        session.hold()
        if session.user is not None:
            self._named(arrival, None)
            return
        self._claim(session, name, lambda error: self._named(arrival, error))

    def connect_implicitly(self, session: Session, command: base.Command) -> None:
        """Identify a session by what its connection brought (or as anonymous) and then carry its command out."""

        def opened(_: bool) -> None:
            if session.resume:
                # The client of a session of requests has known it from the beginning.
                self._hub.resumption.offer(session)
            session.execute(command)

        arrival = _Arrival(session=session, answered=getattr(command, "id", None), name="", opened=opened)
        self._open(arrival, None)

    def refresh(self, session: Session, command: base.Refresh) -> None:
        """Take a newer token of the same user; rights are asked anew from here on.

        A token that is refused (101, 108, 109) leaves the old one in force. Later commands wait for the answer.
        """
        session.hold()

        def identified(claims: Claims | None, error: ChappeError | None) -> None:
            if session.is_over:
                return
            if claims is not None and claims.user != session.user:
                error = ChappeError(Code.UNAUTHORIZED, detail={"problem": "the token is another user's"})
            if claims is None or error is not None:
                session.fail(command.id, error or ChappeError(Code.UNAUTHORIZED))
            else:
                self.renew(session, claims)
                session.answer(base.Done(command.id))
            session.release()

        self._hub.authentication.verify(command.token, identified)

    def renew(self, session: Session, claims: Claims) -> None:
        """Give a session newer rights; what they do not allow ends."""
        session.become(claims, session.name)
        self._hub.expiry.watch(session)
        for subscription in tuple(session.subscriptions.values()):
            try:
                self._hub.permissions.authorize(session.actor, Action.SUBSCRIBE, subscription.name)
            except ChappeError:
                self._hub.subscribing.end(subscription, Code.UNSUBSCRIBED_PERMISSION_WITHDRAWN)

    def _open(self, arrival: _Arrival, token: str | None) -> None:
        """Go through the steps; each may take its time, so the session's later commands wait."""
        session = arrival.session
        session.hold()

        def identified(claims: Claims | None, error: ChappeError | None) -> None:
            if session.is_over:
                return
            if claims is not None and claims.user is not None and arrival.name and arrival.name != claims.user:
                if session.protocol.closes_refused_names:
                    error = ChappeError(Code.PERMISSION_DENIED, detail={"field": "name", "expected": claims.user})
                arrival.name = claims.user
            if claims is None or error is not None:
                self._refuse(arrival, error or ChappeError(Code.UNAUTHORIZED))
            else:
                arrival.claims = claims
                self._ask_hooks(arrival)

        self._identify(session, token, identified)

    def _refuse(self, arrival: _Arrival, error: ChappeError) -> None:
        """Say that a credential, or the name that goes with it, is refused."""
        session = arrival.session
        session.fail(arrival.answered, error)
        if error.code in CREDENTIALS_REFUSED:
            session.close(CREDENTIALS_REFUSED[error.code])
        else:
            session.release()

    def _ask_hooks(self, arrival: _Arrival) -> None:
        session, hooks = arrival.session, self._hub.hooks
        # What the hooks see: who it says it is. Nothing is claimed and nobody is told before they agree.
        session.present(arrival.claims, arrival.name)

        def hooked(error: BaseException | None) -> None:
            if error is not None:
                refusal = self._hub.as_refusal(error)
                session.fail(arrival.answered, refusal)
                session.close(refusal.code if refusal.code >= 3000 else Code.DISCONNECTED, refusal.reason)
            elif not session.is_over:
                self._arrive(arrival)

        hooks.run(hooks.connect, (session.handle_of(),) if hooks.connect else (), hooked)

    def _arrive(self, arrival: _Arrival) -> None:
        """Let a client that has an id of its own take its place first: it may have its name from the last time."""
        session, protocol = arrival.session, arrival.session.protocol
        if not isinstance(protocol, Resident):
            self._take_name(arrival)
            return

        def arrived(error: ChappeError | None) -> None:
            if error is not None:
                session.fail(arrival.answered, error)
                session.close(Code.DISCONNECTED, error.reason)
            elif not session.is_over:
                self._take_name(arrival)

        protocol.arrive(session, arrival.claims, arrival.name, arrived)

    def _take_name(self, arrival: _Arrival) -> None:
        session, claims, resume = arrival.session, arrival.claims, arrival.resume

        def finish(error: ChappeError | None) -> None:
            if session.is_over:
                # What its handle stands for is for who comes with it next.
                return
            if error is None and resume is not None:
                # Only now: who is refused its name has taken nothing from the old connection, nor used its handle up.
                self._hub.resumption.take_over(session, resume, claims.user, taken)
            elif error is None:
                taken(False)
            else:
                self._named(arrival, error)

        def taken(over: bool) -> None:
            if session.is_over:
                return
            session.opened(claims, arrival.name)
            self._hub.expiry.watch(session)
            self._named(arrival, None, over)

        if claims.user is not None:
            self._enter(session, claims.user)
            finish(None)
        elif arrival.name:
            self._claim(session, arrival.name, finish, resume)
        else:
            finish(None)

    def _named(self, arrival: _Arrival, error: ChappeError | None, took_over: bool = False) -> None:
        """Go on after the name is settled: opened, or refused."""
        session = arrival.session
        if session.is_over:
            return
        name = arrival.name or session.name
        if error is not None:
            session.name = session.user or ""
            session.fail(arrival.answered, error)
            if session.protocol.closes_refused_names and error.code == Code.NAME_IN_USE:
                self._hub.log("INFO", "login refused, name in use: %s (session %s)", name, session.id)
                session.close(Code.NAME_IN_USE_CLOSE)
            else:
                session.release()
            return
        if session.name != name:
            session.become(session.actor.claims, name)
        self._hub.counters.logins += 1
        self._hub.log("INFO", "session %s is %s from %s", session.id, session.name or "anonymous", session.peer.address)
        arrival.opened(took_over)
        session.release()

    def _claim(
        self, session: Session, name: str, done: Callable[[ChappeError | None], None], resume: str | None = None
    ) -> None:
        """Claim a name; a holder that is resumed, or that does not answer a probe, loses it."""
        names = self._hub.names
        try:
            holder = names.claim(name, session)
        except ChappeError as error:
            done(error)
            return
        if holder is None:
            self._claim_on_all(session, name, resume, done)
            return
        if resume and self._hub.resumption.holder(resume, session.user) is holder:
            cluster = self._hub.cluster
            if cluster is None or cluster.names.pass_on(name, holder, session):
                # The holder is taken over next, inside this call.
                names.transfer(name, session)
                done(None)
                return

        def probed(alive: bool) -> None:
            if session.is_over:
                return
            if alive:
                done(ChappeError(Code.NAME_IN_USE, detail={"name": name}))
                return
            holder.close(Code.NO_PONG)
            # Another newcomer may have been quicker while the probe ran.
            self._claim(session, name, done, resume)

        self._hub.counters.probes += 1
        holder.link.probe(self._hub.limits.name_probe_s, probed)

    def _claim_on_all(
        self, session: Session, name: str, resume: str | None, done: Callable[[ChappeError | None], None]
    ) -> None:
        """Hold a name that is the session's on this node against the other nodes, if there are any."""
        cluster = self._hub.cluster
        if cluster is None:
            done(None)
            return

        def decided(error: ChappeError | None) -> None:
            if error is not None and not session.is_over:
                self._hub.names.release(session)
                # And a name that it had before: it has none now.
                cluster.names.release(session)
            done(error)

        cluster.names.claim(session, name, resume, decided)

    def _enter(self, session: Session, user: str) -> None:
        """Record a session of a user; who had claimed that name, here or on another node, loses it."""
        names, cluster = self._hub.names, self._hub.cluster
        if cluster is not None and not names.sessions(user):
            cluster.names.user_came(user)
        self._displace(names.enter(user, session))

    def _displace(self, impostor: Session | None) -> None:
        """Disconnect who had claimed the name of a user that has arrived now."""
        if impostor is not None:
            impostor.close(Code.NAME_IN_USE_CLOSE)

    def _identify(self, session: Session, token: str | None, done: Identified) -> None:
        """Find out who it is: by the token of the command, by what its connection brought, or nobody."""
        peer = session.peer
        token = token or peer.token
        if token is not None:
            self._hub.authentication.verify(token, done)
        elif peer.claims is not None:
            self._hub.authentication.judge(peer.claims, done)
        elif self._hub.permissions.anonymous:
            done(ANONYMOUS, None)
        else:
            self._hub.counters.unauthorized += 1
            done(None, ChappeError(Code.UNAUTHORIZED))

    def _connected(self, session: Session, answered: int, resumed: bool) -> base.Connected:
        hub = self._hub
        # A session of requests was named when it began.
        session.resume = session.resume or hub.new_handle()
        hub.resumption.offer(session)
        ping_s = hub.limits.ping_interval_s
        return base.Connected(
            answered, session.id, session.resume, session.user, session.name, ping_s, hub.version, hub.node, resumed
        )


class _Parked(msgspec.Struct, frozen=True, eq=False):
    """What is left of a session that lost its connection; each of its handles stands for it."""

    public_id: str
    user: str | None
    name: str
    handles: tuple[str, ...]
    until: float
    timer: Timer


class Left(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one session leaves at a node that goes: what its handles stand for, and how long."""

    public_id: str
    user: str | None
    name: str
    handles: list[str]
    seconds: float


class Resumption:
    """Private handles: with one, a session keeps its public id when it comes back on another connection.

    Subscriptions are made again by the client, each with `since`, so that every channel tells whether it recovered.
    """

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self._live: dict[str, Session] = {}
        # The handle that a session resumed with: good beside its own, since the answer that tells that may be lost.
        self._former: dict[Session, str] = {}
        self._parked: dict[str, _Parked] = {}

    def offer(self, session: Session) -> None:
        """Make a session's handle valid."""
        self._live[session.resume] = session

    def park(self, session: Session) -> None:
        """Keep the id of a session that lost its connection for `resume_window_s`."""
        handles = self._take_back(session)
        if not handles:
            return
        name = "" if session.user else session.name
        self._keep(session.id, session.user, name, handles, self._hub.limits.resume_window_s)

    def revoke(self, session: Session) -> None:
        """Make a session's handle worthless, and the one that it resumed with."""
        self._take_back(session)

    def holder(self, handle: str, user: str | None) -> Session | None:
        """Return the session of a user that has a handle and whose connection is still there."""
        holder = self._live.get(handle)
        return holder if holder is not None and holder.user == user else None

    def name_of(self, handle: str) -> str | None:
        """Return the name that the session of a handle claimed, if it did; None: the handle is worth nothing."""
        holder = self._live.get(handle)
        if holder is not None:
            return holder.name if holder.user is None else ""
        parked = self._parked.get(handle)
        return parked.name if parked is not None else None

    def find(self, handle: str) -> Session | None:
        """Return the session of a handle whose connection is there."""
        return self._live.get(handle)

    def rename(self, session: Session, handle: str) -> None:
        """Let a session have a handle that it resumed with as its own."""
        self.revoke(session)
        session.resume = handle
        self.offer(session)

    def take_over(self, session: Session, handle: str, user: str | None, done: Callable[[bool], None]) -> None:
        """Give a newcomer the id that its handle stands for; an old connection that still hangs is closed.

        The handle is the newcomer's from here on, until it resumes itself. `done` gets False, and nothing changed, for
        an unknown handle or another user's.
        """

        def found(public_id: str | None) -> None:
            if public_id is not None and session.is_over:
                # It went while another node gave it what its handle stands for: that waits here now.
                name = "" if user else session.name
                self._keep(public_id, user, name, (handle,), self._hub.limits.resume_window_s)
                done(False)
                return
            taken = self._rename(session, public_id)
            if taken:
                self._former[session] = handle
                self._live[handle] = session
            done(taken)

        public_id = self.give_away(handle, user)
        cluster = self._hub.cluster
        if public_id is None and cluster is not None:
            cluster.resume(handle, user, found)
        else:
            found(public_id)

    def give_away(self, handle: str, user: str | None) -> str | None:
        """Return the id that a user's handle stands for and let it be another's; None: the handle is worth nothing."""
        holder = self.holder(handle, user)
        if holder is not None:
            # Before the close, which would keep the handle for the next one who comes with it.
            self.revoke(holder)
            holder.close(Code.STALE)
            return holder.id
        parked = self._parked.get(handle)
        if parked is None or parked.user != user:
            return None
        parked.timer.cancel()
        self._forget(parked.handles)
        return parked.public_id

    def leave(self) -> list[Left]:
        """Take out what all lost sessions left, for another node to keep."""
        now = self._hub.clock.now()
        parked = {id(each): each for each in self._parked.values()}.values()
        self._parked.clear()
        for each in parked:
            each.timer.cancel()
        return [
            Left(each.public_id, each.user, each.name, list(each.handles), each.until - now)
            for each in parked
            if each.until > now
        ]

    def inherit(self, left: Left) -> bool:
        """Keep what a session left at another node; False: a session has that id or one of its handles here."""
        if left.public_id in self._hub.sessions or any(self.name_of(handle) is not None for handle in left.handles):
            return False
        seconds = min(left.seconds, self._hub.limits.resume_window_s)
        self._keep(left.public_id, left.user, left.name, tuple(left.handles), seconds)
        return True

    def _take_back(self, session: Session) -> tuple[str, ...]:
        """Take a session's handles out of what is live; return those that were its own."""
        handles = (session.resume, self._former.pop(session, ""))
        own = tuple(handle for handle in handles if self._live.get(handle) is session)
        for handle in own:
            del self._live[handle]
        return own

    def _rename(self, session: Session, public_id: str | None) -> bool:
        sessions = self._hub.sessions
        if public_id is None or public_id in sessions or session.is_over:
            return False
        del sessions[session.id]
        session.id = public_id
        sessions[public_id] = session
        return True

    def _keep(self, public_id: str, user: str | None, name: str, handles: tuple[str, ...], seconds: float) -> None:
        until = self._hub.clock.now() + seconds
        timer = self._hub.clock.call_later(seconds, lambda: self._forget(handles))
        self._parked.update(dict.fromkeys(handles, _Parked(public_id, user, name, handles, until, timer)))

    def _forget(self, handles: tuple[str, ...]) -> None:
        for handle in handles:
            self._parked.pop(handle, None)

    def __len__(self) -> int:
        return len(self._parked)
