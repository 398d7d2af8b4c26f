"""Rooms: who comes and goes is told to those who asked, as differences, as lists of names, or as a count."""

from typing import TYPE_CHECKING, Final

from chappe.hub.channels import Channel
from chappe.hub.session import Session
from chappe.hub.subscription import Subscription
from chappe.model.member import Member
from chappe.protocols import base

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Lists of names come at most so often; the last state always comes (interfaces, "classic").
NAMES_INTERVAL_S: Final = 0.1
#: Counts of large rooms come at most so often (interfaces, "chappe.v1").
COUNT_INTERVAL_S: Final = 1.0


class Rooms:
    """Keeps presence as sessions subscribe and leave, and tells it."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub

    def entered(self, channel: Channel, subscription: Subscription) -> None:
        """Make a subscriber a member; called right behind the answer to its subscribe."""
        presence = channel.presence
        if presence is None:
            return
        session = subscription.session
        if subscription.watches:
            session.send(self._state(channel))
            channel.watchers.add(session.protocol.encoder, session.link)
        if self._hub.cluster is not None:
            self._hub.cluster.rooms.entered(channel, session)
        member = presence.add(session.id, session.user, session.name, session.actor.claims.info)
        if member is None:
            if subscription.watches and session.protocol.encoder.wants_names:
                self._tell_entry(channel, session)
            return
        if subscription.watches and len(presence) > self._hub.limits.presence_members:
            # The newcomer's own join is its answer in protocols without replies.
            session.send(base.Joined(channel.name, member))
        self.arrived(channel, member)

    def left(self, channel: Channel, session: Session) -> None:
        """Take a former subscriber out of its room."""
        presence = channel.presence
        if presence is None:
            return
        if self._hub.cluster is not None:
            self._hub.cluster.rooms.left(channel, session)
        member = presence.remove(session.id)
        if member is not None and channel.subscriptions:
            self.departed(channel, member)

    def arrived(self, channel: Channel, member: Member) -> None:
        """Tell that a member came, here or on another node."""
        assert channel.presence is not None
        if len(channel.presence) <= self._hub.limits.presence_members:
            channel.watchers.message(base.Joined(channel.name, member))
        else:
            self._count_soon(channel)
        self._names_soon(channel)

    def departed(self, channel: Channel, member: Member) -> None:
        """Tell that a member went, here or on another node."""
        assert channel.presence is not None
        if len(channel.presence) < self._hub.limits.presence_members:
            channel.watchers.message(base.Left(channel.name, member))
        else:
            self._count_soon(channel)
        self._names_soon(channel)

    def _tell_entry(self, channel: Channel, session: Session) -> None:
        """Tell a session that it is in, where its user was before: nobody else hears of it, and it has no reply."""
        assert channel.presence is not None
        if len(channel.presence) <= self._hub.limits.presence_members:
            # It gets the list that others have.
            session.send(base.Names(channel.name, channel.presence.names()))
        else:
            member = Member(session.id, session.user, session.name, session.actor.claims.info)
            session.send(base.Joined(channel.name, member))

    def _state(self, channel: Channel) -> base.PresenceState:
        assert channel.presence is not None
        count = len(channel.presence)
        few = count <= self._hub.limits.presence_members
        return base.PresenceState(channel.name, channel.presence.members() if few else None, count)

    def _names_soon(self, channel: Channel) -> None:
        """Tell the names now, or when the interval since they were told last is over."""
        channel.names_due = True
        if channel.names_timer is None:
            self._tell_names(channel)

    def _tell_names(self, channel: Channel) -> None:
        channel.names_timer = None
        presence = channel.presence
        if not channel.names_due or presence is None:
            return
        channel.names_due = False
        if not channel.watchers.wants_names:
            return
        if len(presence) <= self._hub.limits.presence_members:
            channel.watchers.message(base.Names(channel.name, presence.names()))
        channel.names_timer = self._hub.clock.call_later(NAMES_INTERVAL_S, lambda: self._tell_names(channel))

    def _count_soon(self, channel: Channel) -> None:
        if channel.count_timer is None:
            channel.count_timer = self._hub.clock.call_later(COUNT_INTERVAL_S, lambda: self._tell_count(channel))

    def _tell_count(self, channel: Channel) -> None:
        channel.count_timer = None
        if channel.presence is not None:
            # With the members if they are few again: those who came meanwhile are known to nobody.
            channel.watchers.message(self._state(channel))
