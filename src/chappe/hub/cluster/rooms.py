"""Presence over all nodes: each tells the others who came to it and who went, room by room.

A node follows the rooms that it has subscribers in. What it is told is numbered for each room and node, so that a
message that was lost is noticed with the next one, or with the count that comes every `COUNT_INTERVAL_S`; then the
whole list is asked for again. A node that leaves a room and comes back counts from the start under a new opening:
otherwise a member that came would look like one that is known already.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chappe.hub.channels import Channel
from chappe.hub.cluster.bus import PREFIX, Bus, Tell
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.contracts import Timer
from chappe.hub.presence import ChannelPresence
from chappe.hub.session import Session
from chappe.model.member import Member

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: How often a node tells how far it is in each room, seconds.
COUNT_INTERVAL_S: Final = 30.0
#: Intervals without a word about a room after which a node has nobody in it any more.
_SILENT_INTERVALS: Final = 3
#: Seconds after which a list that was asked for and did not come is asked for again.
_PATIENCE_S: Final = 2.0
#: Rooms whose count is told in one turn, and seconds until the next: 100,000 rooms take half an interval.
_COUNTS: Final = 200
_COUNTS_PAUSE_S: Final = 0.03
#: Members in one message; with their `info` that stays below the megabyte that NATS takes.
_PAGE: Final = 200

_Entry = tuple[str, str | None, str, Any]
#: How far a node is in a room: which time it opened the room (a greater one each time), and how many messages since.
_Place = tuple[int, int]
_NOWHERE: Final = (-1, -1)


class _Remote(msgspec.Struct, eq=False):
    """What is known of another node in one room.

    Attributes:
        place: of its last message that was taken; `_NOWHERE`: its list has not come yet.
        asked_at: when the list was asked for; 0: it is not being waited for.
    """

    heard_at: float
    place: _Place = _NOWHERE
    asked_at: float = 0.0
    sessions: set[str] = msgspec.field(default_factory=set)
    coming: dict[str, _Entry] | None = None


class _Room(msgspec.Struct, eq=False):
    channel: Channel
    topic: str
    opened_at: float
    opening: int
    number: int = 0
    mine: dict[str, _Entry] = msgspec.field(default_factory=dict)
    remotes: dict[str, _Remote] = msgspec.field(default_factory=dict)

    @property
    def place(self) -> _Place:
        """How far this node is."""
        return self.opening, self.number


class SharedRooms:
    """The rooms of this node, with who is in them elsewhere.

    Attributes:
        lists_asked: how often a whole list was asked for.
    """

    def __init__(self, hub: "HubCore", bus: Bus, nodes: Nodes) -> None:
        self._hub = hub
        self._bus = bus
        self._nodes = nodes
        self._rooms: dict[str, _Room] = {}
        self._opening = 0
        self._timer: Timer | None = None
        self.lists_asked = 0
        # Rooms whose count is still to be told.
        self._counting: deque[str] = deque()
        self._counting_timer: Timer | None = None
        bus.on("room.in", self._came, tuple[str, _Place, _Entry])
        bus.on("room.out", self._went, tuple[str, _Place, str])
        bus.on("room.who", self._who, str)
        bus.on("room.list", self._listed, tuple[str, _Place, bool, bool, list[_Entry]])
        bus.on("room.count", self._counted, tuple[str, _Place])
        bus.on("room.closed", self._closed, str)
        bus.on("room.members", self._asked_members, str)
        nodes.on_gone.append(self._node_gone)
        nodes.on_return.append(self.count)

    def start(self) -> None:
        """Count now and then."""
        self._timer = self._hub.clock.call_later(COUNT_INTERVAL_S, self._sweep)

    def stop(self) -> None:
        """Count no more."""
        for timer in (self._timer, self._counting_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._counting_timer = None

    # --- This node's own members -------------------------------------------------------------------------------------

    def entered(self, channel: Channel, session: Session) -> None:
        """Tell the others that a session came to a room; the first one makes this node follow it."""
        room = self._rooms.get(channel.name)
        if room is None or room.channel is not channel:
            room = self._rooms[channel.name] = self._open(channel)
            self._bus.follow(room.topic)
            self._bus.tell("room.who", channel.name, topic=room.topic)
        entry = (session.id, session.user, session.name, session.actor.claims.info)
        room.mine[session.id] = entry
        self._tell(room, "room.in", entry)

    def _open(self, channel: Channel) -> _Room:
        clock = self._hub.clock
        # By the wall clock: also greater than those of a process before this one whose node had the same name.
        self._opening = max(self._opening + 1, clock.wall_ms())
        return _Room(channel, _topic(channel.name), clock.now(), self._opening)

    def left(self, channel: Channel, session: Session) -> None:
        """Tell the others that a session went; the last one ends following."""
        room = self._rooms.get(channel.name)
        if room is None or room.channel is not channel:
            return
        if room.mine.pop(session.id, None) is not None:
            self._tell(room, "room.out", session.id)
        if not channel.subscriptions:
            del self._rooms[channel.name]
            self._bus.tell("room.closed", channel.name, topic=room.topic)
            self._bus.unfollow(room.topic)

    def count(self) -> None:
        """Tell how far this node is in each of its rooms, so that who missed something asks; some rooms at a time."""
        self._counting = deque(self._rooms)
        if self._counting_timer is None:
            self._count_some()

    def _count_some(self) -> None:
        self._counting_timer = None
        for _ in range(min(_COUNTS, len(self._counting))):
            room = self._rooms.get(self._counting.popleft())
            if room is not None and room.mine:
                self._bus.tell("room.count", (room.channel.name, room.place), topic=room.topic)
        if self._counting:
            self._counting_timer = self._hub.clock.call_later(_COUNTS_PAUSE_S, self._count_some)

    def interrupted(self, topics: Iterable[str] | None) -> None:
        """Ask for all lists again in rooms whose messages may have been lost (None: in all)."""
        names = None if topics is None else set(topics)
        for room in self._rooms.values():
            if names is None or room.topic in names:
                self._bus.tell("room.who", room.channel.name, topic=room.topic)

    def knows(self, channel: str) -> bool:
        """Tell whether the others had the time to say who is in a room with them."""
        room = self._rooms.get(channel)
        return room is not None and self._hub.clock.now() - room.opened_at >= _PATIENCE_S

    def members(self, channel: str, done: Callable[[list[Member], int], None]) -> None:
        """Ask the others who is in a room of which this node does not know it yet; `done` gets members and number.

        Not all members come from a node that has very many.
        """

        def answered(answers: dict[str, tuple[int, list[_Entry]]]) -> None:
            found = ChannelPresence()
            room = self._rooms.get(channel)
            own = list(room.mine.values()) if room is not None else []
            for entries in (own, *(entries for _, entries in answers.values())):
                for session, user, name, info in entries:
                    found.add(session, user, name, info)
            unnamed = sum(count - len(entries) for count, entries in answers.values())
            done(found.members(), len(found) + unnamed)

        self._bus.ask("room.members", channel, self._nodes.others, answered, of=tuple[int, list[_Entry]])

    def _tell(self, room: _Room, kind: str, what: Any) -> None:
        room.number += 1
        self._bus.tell(kind, (room.channel.name, room.place, what), topic=room.topic)

    # --- Members of other nodes --------------------------------------------------------------------------------------

    def _came(self, sender: str, body: Any, answer: Tell) -> None:
        name, place, entry = body
        room = self._in_step(sender, name, place)
        if room is not None:
            self._arrive(room, sender, entry)

    def _went(self, sender: str, body: Any, answer: Tell) -> None:
        name, place, session = body
        room = self._in_step(sender, name, place)
        if room is not None:
            self._depart(room, sender, session)

    def _in_step(self, sender: str, name: str, place: _Place) -> _Room | None:
        """Return the room if this is the message behind the last one; otherwise see that its list is asked for."""
        room = self._rooms.get(name)
        if room is None:
            return None
        remote = self._remote(room, sender)
        if place <= remote.place:
            return None
        if place[1] == 1:
            # The node begins: whoever it had there before has left, although we may not have heard that.
            for session in tuple(remote.sessions):
                self._depart(room, sender, session)
        elif place != (remote.place[0], remote.place[1] + 1):
            self._ask(room, sender, remote)
            return None
        remote.place = place
        return room

    def _who(self, sender: str, body: Any, answer: Tell) -> None:
        room = self._rooms.get(body)
        if room is None or not room.mine:
            # Who asks may still list somebody.
            self._bus.tell("room.closed", body, sender)
            return
        entries = list(room.mine.values())
        for first in range(0, len(entries), _PAGE):
            is_last = first + _PAGE >= len(entries)
            page = (body, room.place, first == 0, is_last, entries[first : first + _PAGE])
            self._bus.tell("room.list", page, sender)

    def _listed(self, sender: str, body: Any, answer: Tell) -> None:
        name, place, is_first, is_last, entries = body
        room = self._rooms.get(name)
        if room is None:
            return
        remote = self._remote(room, sender)
        if place < remote.place:
            return
        if is_first:
            remote.coming = {}
        if remote.coming is None:
            # Its beginning was lost.
            self._ask(room, sender, remote)
            return
        remote.coming.update((entry[0], entry) for entry in entries)
        if is_last:
            coming, remote.coming = remote.coming, None
            remote.place, remote.asked_at = place, 0.0
            for session in remote.sessions - coming.keys():
                self._depart(room, sender, session)
            for entry in coming.values():
                self._arrive(room, sender, entry)

    def _counted(self, sender: str, body: Any, answer: Tell) -> None:
        name, place = body
        room = self._rooms.get(name)
        if room is not None:
            remote = self._remote(room, sender)
            if remote.place != place:
                # Also a smaller one: of a node that came back under its name with its clock set back.
                remote.place = _NOWHERE
                self._ask(room, sender, remote)

    def _closed(self, sender: str, body: Any, answer: Tell) -> None:
        room = self._rooms.get(body)
        if room is not None:
            self._forget(room, sender)

    def _asked_members(self, sender: str, body: Any, answer: Tell) -> None:
        room = self._rooms.get(body)
        entries = list(room.mine.values()) if room is not None else []
        answer((len(entries), entries[: self._hub.limits.presence_members + 1]))

    def _node_gone(self, node: str) -> None:
        for room in tuple(self._rooms.values()):
            self._forget(room, node)

    def _forget(self, room: _Room, node: str) -> None:
        remote = room.remotes.get(node)
        if remote is not None:
            for session in tuple(remote.sessions):
                self._depart(room, node, session)
            del room.remotes[node]

    def _arrive(self, room: _Room, node: str, entry: Any) -> None:
        session, user, name, info = entry
        room.remotes[node].sessions.add(session)
        presence = room.channel.presence
        member = presence.add(session, user, name, info) if presence is not None else None
        if member is not None:
            self._hub.rooms.arrived(room.channel, member)

    def _depart(self, room: _Room, node: str, session: str) -> None:
        room.remotes[node].sessions.discard(session)
        # It may have come to this node, or to a third one, before the old one noticed that it went.
        elsewhere = session in room.mine or any(session in each.sessions for each in room.remotes.values())
        presence = room.channel.presence
        member: Member | None = None
        if presence is not None and not elsewhere:
            member = presence.remove(session)
        if member is not None:
            self._hub.rooms.departed(room.channel, member)

    def _remote(self, room: _Room, node: str) -> _Remote:
        now = self._hub.clock.now()
        remote = room.remotes.get(node)
        if remote is None:
            remote = room.remotes[node] = _Remote(now)
        remote.heard_at = now
        return remote

    def _ask(self, room: _Room, node: str, remote: _Remote) -> None:
        now = self._hub.clock.now()
        if not remote.asked_at or now - remote.asked_at >= _PATIENCE_S:
            remote.asked_at = now
            self.lists_asked += 1
            self._bus.tell("room.who", room.channel.name, node)

    def _sweep(self) -> None:
        self._timer = self._hub.clock.call_later(COUNT_INTERVAL_S, self._sweep)
        self.count()
        now = self._hub.clock.now()
        for room in tuple(self._rooms.values()):
            for node, remote in tuple(room.remotes.items()):
                silent_s = now - remote.heard_at
                if silent_s >= _SILENT_INTERVALS * COUNT_INTERVAL_S:
                    self._forget(room, node)
                elif silent_s >= COUNT_INTERVAL_S:
                    self._ask(room, node, remote)


def _topic(channel: str) -> str:
    return f"{PREFIX}room/{hashlib.sha256(channel.encode()).hexdigest()}"
