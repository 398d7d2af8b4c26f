"""Fan-out: one encoding for each protocol, shared by all its links."""

from collections.abc import Callable
from typing import TypeAlias

from chappe.hub.contracts import Audience, Link
from chappe.model.frame import Frame, SlowConsumer
from chappe.model.publication import Publication
from chappe.protocols.base import Encoder, Message


class LinkSet:
    """The plain audience: links in the order in which they came."""

    __slots__ = ("_links", "_snapshot")

    def __init__(self) -> None:
        self._links: dict[Link, None] = {}
        # Iterated by `publish`; made anew after a change, so that links may come and go while it runs.
        self._snapshot: tuple[Link, ...] | None = ()

    def add(self, link: Link) -> None:
        """Add a link; adding it again does nothing."""
        self._links[link] = None
        self._snapshot = None

    def discard(self, link: Link) -> None:
        """Remove a link if it is there."""
        if self._links.pop(link, self) is None:
            self._snapshot = None

    def publish(self, frame: Frame, skip: Link | None = None) -> int:
        """Send a frame to every link but `skip`; return how many got it."""
        links = self._snapshot
        if links is None:
            links = self._snapshot = tuple(self._links)
        if skip is None:
            for link in links:
                link.send(frame)
            return len(links)
        others = [link for link in links if link is not skip]
        for link in others:
            link.send(frame)
        return len(others)

    def __len__(self) -> int:
        return len(self._links)


MakeAudience: TypeAlias = Callable[[], Audience]


class Fanout:
    """Everybody who gets the same publications or messages, grouped by encoding."""

    __slots__ = ("_groups", "_make", "_snapshot", "policy")

    def __init__(self, make: MakeAudience, policy: SlowConsumer = SlowConsumer.DISCONNECT) -> None:
        self._make = make
        self._groups: dict[Encoder, Audience] = {}
        # Iterated by `publish` and `message`; made anew after a change, so that links may come and go while they run.
        self._snapshot: tuple[tuple[Encoder, Audience], ...] = ()
        self.policy = policy

    def add(self, encoder: Encoder, link: Link) -> None:
        """Add a link that speaks an encoding."""
        group = self._groups.get(encoder)
        if group is None:
            group = self._groups[encoder] = self._make()
            self._snapshot = tuple(self._groups.items())
        group.add(link)

    def discard(self, encoder: Encoder, link: Link) -> None:
        """Remove a link if it is there."""
        group = self._groups.get(encoder)
        if group is not None:
            group.discard(link)
            if not len(group):
                del self._groups[encoder]
                self._snapshot = tuple(self._groups.items())

    def publish(self, publication: Publication, skip: Link | None = None) -> int:
        """Send a publication to all but `skip`; return how many got it."""
        sent = 0
        for encoder, group in self._snapshot:
            frame = encoder.publication(publication)
            if frame is not None:
                frame.policy = self.policy
                sent += group.publish(frame, skip)
        return sent

    def message(self, message: Message, skip: Link | None = None) -> None:
        """Send a message to all but `skip`."""
        for encoder, group in self._snapshot:
            frame = encoder.message(message)
            if frame is not None:
                group.publish(frame, skip)

    @property
    def wants_names(self) -> bool:
        """Whether anybody here is told rooms as lists of names."""
        return any(encoder.wants_names for encoder in self._groups)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))
