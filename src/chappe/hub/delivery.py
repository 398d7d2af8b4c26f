"""Delivery: what the broker's feed brings goes to everybody subscribed, once each, in order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from chappe.hub.channels import Channel
from chappe.hub.cluster import OWN_PREFIX
from chappe.hub.contracts import Link
from chappe.hub.subscription import Stage, Subscription
from chappe.model.error_codes import Code
from chappe.model.frame import Frame
from chappe.model.publication import Publication
from chappe.protocols.base import Encoder

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore
    from chappe.hub.session import Session

#: Live publications kept aside for one subscription while its history is read; above, it subscribes again.
_MOST_WAITING: Final = 10_000


class Follower(Protocol):
    """A part of the hub that follows a channel of the hub's own, `HubCore.followers`."""

    def fed(self, publication: Publication) -> None:
        """Take what the feed brings."""

    def interrupted(self) -> None:
        """Learn that the feed may have lost something."""


class Delivery:
    """The hub's side of the feed (`BrokerSink`)."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self._cluster = hub.cluster
        self._recovery = hub.recovery

    def published(self, batch: Sequence[Publication]) -> None:
        """Deliver stored publications."""
        for publication in batch:
            try:
                if publication.channel.startswith(OWN_PREFIX):
                    self._take_own(publication)
                else:
                    self._deliver(publication)
            except Exception as error:
                # Ours to mend, and nobody's silent gap: who followed the channel subscribes again and recovers.
                self._hub.report(error, "a publication could not be delivered")
                self.interrupted([publication.channel])

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Make the subscribers of these channels subscribe again."""
        for channel in self._hub.channels.all(channels):
            self._hub.subscribing.interrupted(channel)
        # Behind: most rooms are closed by now, and need not be asked about.
        if self._cluster is not None:
            self._cluster.interrupted(channels)
        for name, follower in tuple(self._hub.followers.items()):
            if channels is None or name in channels:
                follower.interrupted()

    def join_audience(self, channel: Channel, subscription: Subscription) -> None:
        """Move a subscription that has all there is to the audience."""
        session = subscription.session
        subscription.stage = Stage.LIVE
        subscription.waiting = None
        channel.catching_up.pop(subscription, None)
        if not (session.background and channel.namespace.ephemeral):
            channel.audience.add(session.protocol.encoder, session.outlet)

    def _take_own(self, publication: Publication) -> None:
        """Give what comes in a channel of the hub's own to the part of the hub that it is for."""
        follower = self._hub.followers.get(publication.channel)
        if follower is not None:
            follower.fed(publication)
        elif self._cluster is not None:
            self._cluster.published(publication)

    def _deliver(self, publication: Publication) -> None:
        hub = self._hub
        channel = hub.channels.get(publication.channel)
        patterns = hub.channels.matching(publication.channel) if hub.channels.has_patterns else None
        skip = self._link_of_sender(publication) if publication.transient else None
        if channel is not None:
            if not publication.transient:
                if channel.epoch and channel.epoch != publication.epoch:
                    # A broker tells this by `interrupted`; should one forget, nobody gets a silent gap.
                    hub.subscribing.interrupted(channel)
                channel.epoch = publication.epoch
                channel.fed = publication.offset
                if channel.stretch is not None or channel.flights:
                    self._recovery.fed(channel, publication)
            hub.counters.delivered += channel.audience.publish(publication, skip)
        if patterns:
            self._to_patterns(channel, patterns, publication, skip)
        elif channel is not None and channel.catching_up:
            self._to_catching_up([(channel, publication.offset)], publication, skip, set())

    def _to_patterns(
        self, channel: Channel | None, patterns: list[Channel], publication: Publication, skip: Link | None
    ) -> None:
        """Deliver by patterns too: who matches by several subscriptions gets one copy, and gets it.

        What an answer told but did not bring counts for nothing: then another subscription has to bring it.
        """
        places = [(pattern, publication.log) for pattern in patterns]
        served: set[Session] = set()
        if channel is not None:
            places.insert(0, (channel, publication.offset))
            served.update(s for s, subscription in channel.subscriptions.items() if subscription.stage is Stage.LIVE)
        for each, place in places:
            served.update(subscription.session for subscription in each.catching_up if subscription.has_brought(place))
        for pattern in patterns:
            pattern.fed = max(pattern.fed, publication.log)
            self._to_live(pattern, publication, skip, served)
        self._to_catching_up(places, publication, skip, served)

    def _to_live(self, pattern: Channel, publication: Publication, skip: Link | None, served: "set[Session]") -> None:
        frames: dict[Encoder, Frame | None] = {}
        held_back = self._hub.namespaces.of(publication.channel).ephemeral
        for session, subscription in tuple(pattern.subscriptions.items()):
            if subscription.stage is not Stage.LIVE or session in served:
                continue
            served.add(session)
            if session.outlet is not skip and not (held_back and session.background):
                self._send(frames, session, publication, pattern)

    def _to_catching_up(
        self, places: list[tuple[Channel, int]], publication: Publication, skip: Link | None, served: "set[Session]"
    ) -> None:
        """Serve those who are not in the audience: skip what was answered, deliver and let them join, or keep aside.

        Kept aside last, when it is known that no other subscription of the session brings it now: else it came twice.
        """
        reading: list[Subscription] = []
        for channel, place in places:
            frames: dict[Encoder, Frame | None] = {}
            for subscription in tuple(channel.catching_up):
                if subscription.stage is Stage.READING:
                    reading.append(subscription)
                elif self._is_wanted(channel, subscription, publication, place, skip, served):
                    served.add(subscription.session)
                    self._send(frames, subscription.session, publication, channel)
        for subscription in reading:
            if subscription.session not in served and subscription.session.outlet is not skip:
                self._keep_aside(subscription, publication)

    def _is_wanted(
        self,
        channel: Channel,
        subscription: Subscription,
        publication: Publication,
        place: int,
        skip: Link | None,
        served: "set[Session]",
    ) -> bool:
        """Tell whether a subscription whose answer is ahead of the feed gets this; it joins when the feed is level."""
        wanted = subscription.session not in served and subscription.session.outlet is not skip
        if publication.transient:
            return wanted
        if subscription.epoch and subscription.epoch != publication.epoch:
            # Late news of a life of the channel that its answer said is over.
            return False
        wanted = wanted and place > subscription.after
        if place >= subscription.after:
            self.join_audience(channel, subscription)
        return wanted

    def _keep_aside(self, subscription: Subscription, publication: Publication) -> None:
        if subscription.waiting is None:
            subscription.waiting = []
        subscription.waiting.append(publication)
        if len(subscription.waiting) > _MOST_WAITING:
            self._hub.subscribing.end(subscription, Code.UNSUBSCRIBED_INSUFFICIENT_STATE)

    def _send(
        self,
        frames: dict[Encoder, Frame | None],
        session: "Session",
        publication: Publication,
        channel: Channel,
    ) -> None:
        encoder = session.protocol.encoder
        if encoder not in frames:
            frame = frames[encoder] = encoder.publication(publication)
            if frame is not None:
                frame.policy = channel.namespace.slow_consumer
        frame = frames[encoder]
        if frame is not None:
            session.outlet.send(frame)
            self._hub.counters.delivered += 1

    def _link_of_sender(self, publication: Publication) -> Link | None:
        session = self._hub.sessions.get(publication.sender.session) if publication.sender else None
        return session.outlet if session is not None else None
