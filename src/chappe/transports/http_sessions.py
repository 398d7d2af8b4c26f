"""Sessions that outlive requests: who has which mailbox, how long, and how it ended."""

import asyncio
from collections.abc import Mapping
from typing import Final, cast

from chappe.hub.contracts import Timer
from chappe.hub.deadlines import Deadlines
from chappe.hub.hub import HubCore
from chappe.hub.session import Peer
from chappe.hub.session_state import SessionState
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base
from chappe.protocols.classic import ClassicEncoder, ClassicProtocol
from chappe.protocols.poll import PollEncoder, PollProtocol
from chappe.protocols.sse import RawEventEncoder
from chappe.transports.admission import Admission
from chappe.transports.poll_link import Mailbox, PollOptions
from chappe.transports.send_queue import SendQueue
from chappe.transports.session_stream import SessionStream
from chappe.transports.sse_stream import OPENING_S, Carrier, Stream

#: Sessions that ended and whose end is told: they have no seat any more, so that clients can end any number of them.
_MAX_ENDED: Final = 1_000
#: Before the ids that clients make up, so that none is ever taken for a handle.
_SIMPLE: Final = "?"


class PollCounters:
    """What is counted here.

    Attributes:
        polls, posts: requests taken.
        sessions_expired: sessions whose client did not come back.
    """

    __slots__ = ("polls", "posts", "sessions_expired")

    def __init__(self) -> None:
        self.polls = 0
        self.posts = 0
        self.sessions_expired = 0


class HttpSessions:
    """The mailboxes of one hub.

    Attributes:
        options: how they are kept.
        counters: what happened.
    """

    def __init__(self, hub: HubCore, admission: Admission, options: PollOptions) -> None:
        self.options = options
        self.counters = PollCounters()
        self._hub = hub
        self._admission = admission
        self._boxes: dict[str, Mailbox] = {}
        # In the order in which they ended.
        self._ended: dict[Mailbox, None] = {}
        self._deadlines: Deadlines[Mailbox] = Deadlines()
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._poll_encoder = PollEncoder()
        self._classic_encoder = ClassicEncoder()

    # --- Requests ----------------------------------------------------------------------------------------------------

    def begin(self, peer: Peer, classic: bool = False, client_id: str | None = None) -> Mailbox:
        """Begin a session; with a `client_id` one of the simple form. Its address must have a seat to spare."""
        hub, limits = self._hub, self._hub.limits
        handle = hub.new_handle() if client_id is None else _SIMPLE + client_id
        classic = classic or client_id is not None
        mailbox = self._make(handle, not classic)
        mailbox.simple = client_id is not None
        protocol = (
            ClassicProtocol(limits, self._classic_encoder)
            if classic
            else PollProtocol(limits, self._poll_encoder, mailbox.posting.took)
        )
        mailbox.seat = self._admission.websockets.take(peer.address)
        mailbox.session = hub.open(mailbox, protocol, peer)
        if client_id is None:
            mailbox.session.resume = handle
        self._keep(mailbox)
        return mailbox

    def find(self, handle: str) -> Mailbox | None:
        """Return the mailbox of a handle, or None; one that ended is there for as long as its end is told."""
        mailbox = self._boxes.get(handle)
        if mailbox is not None and mailbox.ended is None and mailbox.session.is_over:
            # Its loop, or its stream, ended without a word.
            self._drop(mailbox)
            mailbox.close(Code.UNKNOWN_SESSION)
            return None
        return mailbox

    def find_simple(self, client_id: str) -> Mailbox | None:
        """Return the mailbox of an id that a client made up, or None."""
        mailbox = self.find(_SIMPLE + client_id)
        if mailbox is not None and mailbox.is_spent:
            # Told once: the id is all that its client has, and it begins anew with it.
            self._drop(mailbox)
        return mailbox

    def adopt(self, handle: str) -> Mailbox | None:
        """Give the session of a stream that named its channels a mailbox, which the stream reads from here on.

        Returns None if the handle is of no such stream.
        """
        hub = self._hub
        session = hub.resumption.find(handle)
        if session is None or session.peer.carrier != "sse" or isinstance(session.protocol.encoder, RawEventEncoder):
            return None
        link = session.link
        carrier = link.carrier if isinstance(link, Stream) else cast(Carrier, link)
        if carrier is None:
            return None
        mailbox = self._make(handle, True)
        mailbox.session = session
        if isinstance(link, Stream):
            mailbox.places = link.places
        else:
            mailbox.places.catch_up(session)
        mailbox.read_by(SessionStream.going_on(mailbox, carrier))
        mailbox.was_stream = True
        hub.relink(session, mailbox, PollProtocol(hub.limits, self._poll_encoder, mailbox.posting.took))
        self._keep(mailbox)
        return mailbox

    async def take_over(self, handle: str, peer: Peer) -> Mailbox:
        """Begin a session in place of one that is on another connection or was cut, with its id and its handle.

        One of another node has a handle of its own: requests find their node by it.

        Raises:
            ChappeError: 117, the handle is worth nothing to who asks; 101, 103, 109, 115; what a hook says.
        """
        name = await self._name_of(handle)
        if name is None:
            raise ChappeError(Code.UNKNOWN_SESSION)
        mailbox = self.begin(peer)
        is_resumed = False

        def answered(answer: base.Message) -> None:
            nonlocal is_resumed
            is_resumed = isinstance(answer, base.Connected) and answer.resumed
            if is_resumed and handle.startswith(self._hub.node):
                self._rename(mailbox, handle)

        connect = base.Connect(mailbox.posting.free_id, name=name or None, resume=handle)
        try:
            async with asyncio.timeout(OPENING_S):
                # At once: meanwhile the handle would be nobody's, for who asks with it a second time.
                await mailbox.inquire(connect, answered)
            if not is_resumed:
                raise ChappeError(Code.UNKNOWN_SESSION)
        except BaseException:
            self.end(mailbox)
            raise
        return mailbox

    async def subscribe(
        self, mailbox: Mailbox, channels: Mapping[str, base.Since], token: str | None
    ) -> dict[str, base.Subscribed]:
        """Subscribe a session to more, identified by a token if it is not yet; return the answers by channel.

        Raises:
            ChappeError: the first refusal; nothing of this stays subscribed then.
        """
        session = mailbox.session
        replies: dict[str, base.Subscribed] = {}
        try:
            async with asyncio.timeout(OPENING_S):
                if channels and not session.is_open:
                    await self._connect(mailbox, token)
                for channel, since in channels.items():
                    reply = await mailbox.inquire(base.Subscribe(mailbox.posting.free_id, channel, since))
                    assert isinstance(reply, base.Subscribed)
                    replies[channel] = reply
        except BaseException as error:
            for channel in replies:
                subscription = session.subscription(channel)
                if subscription is not None:
                    self._hub.subscribing.end(subscription)
                    mailbox.places.leave(channel)
            if isinstance(error, TimeoutError):
                raise ChappeError(Code.NOT_AVAILABLE) from None
            raise
        return replies

    def move_seat(self, mailbox: Mailbox, address: str) -> str:
        """Take a seat for a stream that reads a mailbox, which needs none of its own meanwhile."""
        self._give_seat_back(mailbox)
        return self._admission.websockets.take(address)

    def end(self, mailbox: Mailbox) -> None:
        """End a session for its client, who said so: it is not known any more."""
        mailbox.stop_reading()
        self._drop(mailbox)
        self._hub.resumption.revoke(mailbox.session)
        mailbox.session.lost(1000)
        mailbox.close(Code.UNKNOWN_SESSION)

    def shutdown(self) -> None:
        """Ask all clients to come back later or elsewhere."""
        for mailbox in tuple(self._boxes.values()):
            mailbox.session.close(Code.SHUTDOWN)

    def forget(self) -> None:
        """Forget all mailboxes of an event loop that is over; their sessions have ended."""
        for mailbox in tuple(self._boxes.values()):
            self._drop(mailbox)
        self._timer = None

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        boxes = self._boxes.values()
        return {
            "chappe_poll_sessions": sum(mailbox.ended is None for mailbox in boxes),
            "chappe_polls_waiting": sum(mailbox.is_waiting for mailbox in boxes),
            "chappe_polls_total": self.counters.polls,
            "chappe_posts_total": self.counters.posts,
            "chappe_poll_sessions_expired_total": self.counters.sessions_expired,
        }

    # --- Called by mailboxes -----------------------------------------------------------------------------------------

    def watch(self, mailbox: Mailbox, at: float) -> None:
        """Look at a mailbox at a time, in place of the one that was set."""
        mailbox.queued_at = at
        self._deadlines.set(mailbox, at)
        if self._timer is None or at < self._timer_at:
            self._set_timer(at)

    def unread(self, mailbox: Mailbox) -> None:
        """Count a session that no stream reads any more."""
        if mailbox.seat is None and not mailbox.closing:
            mailbox.seat = self._admission.websockets.take(mailbox.session.peer.address)

    def ended(self, mailbox: Mailbox) -> None:
        """Keep the end of a session for who asks."""
        self._give_seat_back(mailbox)
        if self._boxes.get(mailbox.handle) is mailbox:
            expired = mailbox.ended is not None and mailbox.ended[0] == Code.UNKNOWN_SESSION
            # Who comes back later must not begin another session with the old handle unawares.
            told_s = self._hub.limits.resume_window_s if expired else self.options.session_s
            mailbox.due_at = self._hub.clock.now() + told_s
            self.watch(mailbox, mailbox.due_at)
            self._ended[mailbox] = None
            if len(self._ended) > _MAX_ENDED:
                self._drop(next(iter(self._ended)))

    # --- Inside ------------------------------------------------------------------------------------------------------

    async def _connect(self, mailbox: Mailbox, token: str | None) -> None:
        try:
            await mailbox.inquire(base.Connect(mailbox.posting.free_id, token))
        except ChappeError:
            # Another request may have been first.
            if not mailbox.session.is_open:
                raise

    def _make(self, handle: str, collected: bool) -> Mailbox:
        limits = self._hub.limits
        queue = SendQueue(limits.send_queue_bytes, limits.send_queue_messages)
        return Mailbox(self, handle, self.options, queue, limits.send_queue_bytes, collected)

    def _keep(self, mailbox: Mailbox) -> None:
        now = self._hub.clock.now()
        self._boxes[mailbox.handle] = mailbox
        mailbox.due_at = now + self.options.session_s
        self.watch(mailbox, min(mailbox.due_at, now + self._hub.limits.handshake_timeout_s))

    async def _name_of(self, handle: str) -> str | None:
        """Return the name that the session of a handle claimed, on whichever node it is; None: there is none."""
        name, cluster = self._hub.resumption.name_of(handle), self._hub.cluster
        if name is not None or cluster is None:
            return name
        asked: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def answered(found: str | None) -> None:
            if not asked.done():
                asked.set_result(found)

        cluster.name_of(handle, answered)
        return await asked

    def _rename(self, mailbox: Mailbox, handle: str) -> None:
        """Let a session that took another over have the handle of that one."""
        self._drop(mailbox)
        former = self._boxes.get(handle)
        if former is not None:
            self._drop(former)
        mailbox.handle = handle
        self._hub.resumption.rename(mailbox.session, handle)
        mailbox.seat = self._admission.websockets.take(mailbox.session.peer.address)
        self._keep(mailbox)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._hub.clock.call_later(max(0.0, at - self._hub.clock.now()), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._hub.clock.now()
        for mailbox in self._deadlines.pop_due(now):
            mailbox.queued_at = float("inf")
            self._look_at(mailbox, now)
        coming = self._deadlines.next()
        if coming is not None and self._timer is None:
            self._set_timer(coming)

    def _look_at(self, mailbox: Mailbox, now: float) -> None:
        if self.find(mailbox.handle) is not mailbox:
            return
        session = mailbox.session
        if mailbox.ended is None and self._is_stale(mailbox, now):
            session.close(Code.STALE)
        elif mailbox.due_at > now:
            self.watch(mailbox, mailbox.due_at)
        elif mailbox.ended is not None:
            self._drop(mailbox)
        elif mailbox.due():
            self._expire(mailbox)
        elif mailbox.queued_at == float("inf"):
            self.watch(mailbox, max(mailbox.due_at, now + self.options.session_s))

    def _is_stale(self, mailbox: Mailbox, now: float) -> bool:
        session = mailbox.session
        if self._hub.permissions.anonymous or session.state is not SessionState.NEW:
            return False
        return now - session.opened_at >= self._hub.limits.handshake_timeout_s

    def _expire(self, mailbox: Mailbox) -> None:
        """End a session whose client does not come back; a socket may still take it over by its handle."""
        self.counters.sessions_expired += 1
        mailbox.session.lost(1006)
        mailbox.clear()
        mailbox.close(Code.UNKNOWN_SESSION)

    def _drop(self, mailbox: Mailbox) -> None:
        self._give_seat_back(mailbox)
        self._deadlines.discard(mailbox)
        self._ended.pop(mailbox, None)
        if self._boxes.get(mailbox.handle) is mailbox:
            del self._boxes[mailbox.handle]

    def _give_seat_back(self, mailbox: Mailbox) -> None:
        if mailbox.seat is not None:
            self._admission.websockets.give_back(mailbox.seat)
            mailbox.seat = None
