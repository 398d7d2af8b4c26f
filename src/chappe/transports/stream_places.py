"""Where a reader of several channels is."""

from chappe.hub.session import Session
from chappe.hub.subscription import Stage
from chappe.model.channels import is_pattern, pattern_matches
from chappe.model.position import Position
from chappe.model.publication import Publication
from chappe.protocols import base
from chappe.protocols.sse import Cursor, is_place


class Places:
    """The place in every channel and pattern that a reader is subscribed to, for the cursor of its stream.

    Made when a subscription is answered, and moved by each publication in the order in which the reader gets them.
    """

    __slots__ = ("_channels", "_cursor", "_log_epochs", "_moved", "_unsettled")

    def __init__(self) -> None:
        self._cursor = Cursor()
        self._channels: set[str] = set()
        # Where it is in channels since the cursor was told last: polls tell none.
        self._moved: dict[str, Publication] = {}
        # Of patterns: what stands before the number in their log positions.
        self._log_epochs: dict[str, str] = {}
        self._unsettled: set[str] = set()

    def enter(self, reply: base.Subscribed, since: base.Since) -> None:
        """Be where a subscription begins."""
        name = reply.channel
        self._moved.pop(name, None)
        if reply.log_position is not None:
            self._log_epochs[name] = reply.log_position.rpartition(":")[0]
        else:
            self._channels.add(name)
        if isinstance(since, base.SincePosition) and reply.recovered:
            # The gap is still to come: who is cut inside it begins it again.
            if since.position is not None:
                self._cursor.move_in_log(name, since.position)
            else:
                self._cursor.move(name, Position(since.epoch, since.offset))
        elif reply.log_position is not None:
            self._cursor.move_in_log(name, reply.log_position)
        elif reply.position is not None:
            if since is None or isinstance(since, base.SincePosition):
                self._cursor.move(name, reply.position)
            else:
                # With history to come it is nowhere yet, so that who is cut asks for it again.
                self._cursor.forget(name)
                self._unsettled.add(name)

    def settle(self, session: Session) -> None:
        """Be where subscriptions are whose history had nothing; ask when what came with their answers is on its way."""
        self._unsettled.difference_update(self._moved)
        while self._unsettled:
            subscription = session.subscription(self._unsettled.pop())
            if subscription is not None and not subscription.brought:
                self._cursor.move(subscription.name, Position(subscription.epoch, subscription.after))

    def catch_up(self, session: Session) -> None:
        """Be where a stream is whose events were all given to its connection."""
        for subscription in session.subscriptions.values():
            channel = session.hub.channels.find(subscription)
            if channel is None or is_pattern(subscription.name):
                continue
            self._channels.add(subscription.name)
            is_live = subscription.stage is Stage.LIVE and channel.epoch == subscription.epoch
            offset = max(subscription.after, channel.fed) if is_live else subscription.after
            self._cursor.move(subscription.name, Position(subscription.epoch, offset))

    def leave(self, name: str) -> None:
        """Be nowhere in a channel or pattern."""
        self._cursor.forget(name)
        self._moved.pop(name, None)
        self._channels.discard(name)
        self._log_epochs.pop(name, None)
        self._unsettled.discard(name)

    def move(self, publication: Publication) -> bool:
        """Move behind a publication; return False if it is no place."""
        if not is_place(publication):
            return False
        channel = publication.channel
        if channel in self._channels:
            self._moved[channel] = publication
            return True
        # What another subscription brings may be ahead of a pattern's own feed: the pattern stays behind, so that who
        # comes back gets something twice rather than nothing.
        patterns = [pattern for pattern in self._log_epochs if pattern_matches(pattern, channel)]
        if len(patterns) == 1:
            self._cursor.move_in_log(patterns[0], f"{self._log_epochs[patterns[0]]}:{publication.log}")
        return True

    def encode(self) -> bytes:
        """Return the places as an `id`."""
        for channel, publication in self._moved.items():
            self._cursor.move(channel, publication.position)
            self._unsettled.discard(channel)
        self._moved.clear()
        return self._cursor.encode()
