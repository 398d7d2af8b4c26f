"""Delivery: what the broker's feed brings goes to everybody subscribed, once each, in order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from chappe.hub.channels import Channel
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


class Delivery:
    """The hub's side of the feed (`BrokerSink`)."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub

    def published(self, batch: Sequence[Publication]) -> None:
        """Deliver stored publications."""
        for publication in batch:
            self._deliver(publication)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Make the subscribers of these channels subscribe again."""
        for channel in self._hub.channels.all(channels):
            self._hub.subscribing.interrupted(channel)

    def join_audience(self, channel: Channel, subscription: Subscription) -> None:
        """Move a subscription that has all there is to the audience."""
        session = subscription.session
        subscription.stage = Stage.LIVE
        subscription.waiting = []
        channel.catching_up.pop(subscription, None)
        if not (session.background and channel.namespace.ephemeral):
            channel.audience.add(session.protocol.encoder, session.link)

    def _deliver(self, publication: Publication) -> None:
        hub = self._hub
        channel = hub.channels.get(publication.channel)
        patterns = hub.channels.matching(publication.channel)
        skip = self._link_of_sender(publication) if publication.transient else None
        if channel is not None:
            if not publication.transient:
                if channel.epoch and channel.epoch != publication.epoch:
                    # A broker tells this by `interrupted`; should one forget, nobody gets a silent gap.
                    hub.subscribing.interrupted(channel)
                channel.epoch = publication.epoch
                channel.fed = publication.offset
            hub.counters.delivered += channel.audience.publish(publication, skip)
            if channel.catching_up:
                self._to_catching_up(channel, publication, publication.offset, skip)
        if patterns:
            self._to_patterns(channel, patterns, publication, skip)

    def _to_patterns(
        self, channel: Channel | None, patterns: list[Channel], publication: Publication, skip: Link | None
    ) -> None:
        """Deliver to pattern subscribers who did not get it by a subscription looked at before."""
        served: set[Session] = set(channel.subscriptions) if channel is not None else set()
        frames: dict[Encoder, Frame | None] = {}
        for pattern in patterns:
            for session, subscription in tuple(pattern.subscriptions.items()):
                if session in served:
                    continue
                served.add(session)
                if subscription.stage is not Stage.LIVE or session.link is skip:
                    continue
                if session.background and self._hub.namespaces.of(publication.channel).ephemeral:
                    continue
                self._send(frames, session, publication, pattern)
            pattern.fed = max(pattern.fed, publication.log)
            if pattern.catching_up:
                self._to_catching_up(pattern, publication, publication.log, skip)

    def _to_catching_up(self, channel: Channel, publication: Publication, place: int, skip: Link | None) -> None:
        """Serve those who are not in the audience: keep aside, skip what was answered, or deliver and let them join."""
        frames: dict[Encoder, Frame | None] = {}
        for subscription in tuple(channel.catching_up):
            session = subscription.session
            if subscription.stage is Stage.READING:
                subscription.waiting.append(publication)
                if len(subscription.waiting) > _MOST_WAITING:
                    self._hub.subscribing.end(subscription, Code.UNSUBSCRIBED_INSUFFICIENT_STATE)
                continue
            if publication.transient:
                self._send(frames, session, publication, channel)
                continue
            if place > subscription.after:
                self._send(frames, session, publication, channel)
            if place >= subscription.after:
                self.join_audience(channel, subscription)

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
            session.link.send(frame)
            self._hub.counters.delivered += 1

    def _link_of_sender(self, publication: Publication) -> Link | None:
        session = self._hub.sessions.get(publication.sender.session) if publication.sender else None
        return session.link if session is not None else None
