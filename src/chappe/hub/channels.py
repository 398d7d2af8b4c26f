"""The channels that somebody here is subscribed to, by name and by pattern."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from chappe.hub.contracts import Broker, Timer
from chappe.hub.fanout import Fanout, MakeAudience
from chappe.hub.namespaces import Access, Namespace, Namespaces
from chappe.hub.pattern_index import PatternIndex
from chappe.hub.presence import ChannelPresence
from chappe.hub.subscription import Subscription
from chappe.model.channels import is_pattern

if TYPE_CHECKING:
    from chappe.hub.recovery import Flight, Stretch
    from chappe.hub.session import Session


class Channel:
    """One channel (or pattern) with subscribers.

    Attributes:
        subscriptions: of every session, in whatever stage.
        catching_up: those not in the audience yet.
        audience: the links of the rest.
        watchers: links that are told joins and leaves.
        presence: the members, or None if the namespace keeps none.
        epoch: of the last answer or publication; empty before the first.
        fed: last offset that the feed brought.
        names_timer, count_timer: a list of names, or a count of members, is due.
        flights: reads on their way that others may join.
        stretch: what it brought lately, if clients come back to it.
    """

    __slots__ = (
        "audience",
        "catching_up",
        "count_timer",
        "epoch",
        "fed",
        "flights",
        "name",
        "names_due",
        "names_timer",
        "namespace",
        "presence",
        "stretch",
        "subscriptions",
        "watchers",
    )

    def __init__(self, name: str, namespace: Namespace, make_audience: MakeAudience) -> None:
        self.name = name
        self.namespace = namespace
        self.audience = Fanout(make_audience, namespace.slow_consumer)
        self.watchers = Fanout(make_audience)
        self.subscriptions: dict[Session, Subscription] = {}
        self.catching_up: dict[Subscription, None] = {}
        # Who follows a pattern is in none of its channels.
        self.presence = ChannelPresence() if namespace.presence and not is_pattern(name) else None
        self.epoch = ""
        self.fed = 0
        self.names_timer: Timer | None = None
        self.names_due = False
        self.count_timer: Timer | None = None
        self.flights: tuple[Flight, ...] = ()
        self.stretch: Stretch | None = None


class Channels:
    """All channels with subscribers here; each is attached to the broker while it has any.

    Attributes:
        get: return the channel of a name if it has subscribers, or None; asked for each publication.
    """

    def __init__(self, namespaces: Namespaces, broker: Broker, make_audience: MakeAudience) -> None:
        self._namespaces = namespaces
        self._broker = broker
        self._make_audience = make_audience
        self._channels: dict[str, Channel] = {}
        self._patterns: dict[str, Channel] = {}
        self.get = self._channels.get
        self._index: PatternIndex[Channel] = PatternIndex()

    @property
    def has_patterns(self) -> bool:
        """Whether anybody here is subscribed by pattern."""
        return bool(self._patterns)

    def matching(self, channel: str) -> list[Channel]:
        """Return the patterns with subscribers that a channel matches, if anybody may read it at all.

        A pattern over several namespaces reaches into closed ones as well.
        """
        found = self._index.match(channel) if self._patterns else []
        return found if found and self.is_readable(channel) else []

    def is_readable(self, channel: str) -> bool:
        """Whether its namespace lets any client read a channel."""
        return self._namespaces.of(channel).subscribe is not Access.NOBODY

    def add(self, subscription: Subscription, is_pattern: bool) -> Channel:
        """Add a subscription; the first one attaches the channel to the broker."""
        table = self._patterns if is_pattern else self._channels
        channel = table.get(subscription.name)
        if channel is None:
            name = subscription.name
            channel = table[name] = Channel(name, self._namespaces.of(name), self._make_audience)
            if is_pattern:
                self._index.add(name, channel)
            self._broker.attach(name)
        # Each client's frame brought its own copy of the name: one is enough.
        subscription.name = channel.name
        channel.subscriptions[subscription.session] = subscription
        channel.catching_up[subscription] = None
        return channel

    def discard(self, subscription: Subscription) -> Channel | None:
        """Remove a subscription; the last one gives the channel up. Return its channel, or None if it was not there."""
        name = subscription.name
        channel = self._channels.get(name)
        is_pattern = channel is None
        channel = channel or self._patterns.get(name)
        if channel is None or channel.subscriptions.get(subscription.session) is not subscription:
            return None
        session = subscription.session
        del channel.subscriptions[session]
        channel.catching_up.pop(subscription, None)
        channel.audience.discard(session.protocol.encoder, session.outlet)
        if subscription.watches:
            channel.watchers.discard(session.protocol.encoder, session.link)
        if not channel.subscriptions:
            self._give_up(channel, is_pattern)
        return channel

    def find(self, subscription: Subscription) -> Channel | None:
        """Return the channel or pattern of a subscription that is still in force."""
        channel = self._channels.get(subscription.name) or self._patterns.get(subscription.name)
        if channel is None or channel.subscriptions.get(subscription.session) is not subscription:
            return None
        return channel

    def all(self, names: Iterable[str] | None) -> list[Channel]:
        """Return the named channels and the patterns they match; with None everything."""
        if names is None:
            return [*self._channels.values(), *self._patterns.values()]
        found = {name: channel for name in names if (channel := self._channels.get(name))}
        patterns = {pattern.name: pattern for name in names for pattern in self.matching(name)}
        return [*found.values(), *patterns.values()]

    def __iter__(self) -> Iterator[Channel]:
        return iter(tuple(self._channels.values()))

    def __len__(self) -> int:
        return len(self._channels)

    def _give_up(self, channel: Channel, is_pattern: bool) -> None:
        for timer in (channel.names_timer, channel.count_timer):
            if timer is not None:
                timer.cancel()
        if is_pattern:
            del self._patterns[channel.name]
            self._index.discard(channel.name, channel)
        else:
            del self._channels[channel.name]
        self._broker.detach(channel.name)
