"""The filters of one client and what they make of a message."""

from typing import Final

import msgspec

from chappe.model.channels import pattern_matches
from chappe.protocols.mqtt.packets import SubscribeFilter

#: Channels whose match is remembered; above, all are forgotten.
_REMEMBERED: Final = 1_024
#: What begins the filter of a shared subscription (MQTT 5, 4.8.2).
SHARED_PREFIX: Final = "$share/"


class Filter(msgspec.Struct, frozen=True, gc=False):
    """One subscription of a client, as it is in force.

    Attributes:
        name: as the client said it, `$share/<group>/` included.
        pattern: what it matches: a channel or a pattern.
        group: of a shared subscription; empty: it is none.
        qos: the most that was granted.
        identifier: goes with every message that matches; 0: none.
    """

    name: str
    pattern: str
    group: str = ""
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    identifier: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether a message of QoS 0 is the same for all who have such a filter."""
        return not (self.qos or self.no_local or self.retain_as_published or self.identifier or self.group)


def make_filter(asked: SubscribeFilter, qos: int, identifier: int) -> Filter:
    """Return what a client asked for, with the QoS that it gets."""
    group, pattern = split_shared(asked.filter)
    return Filter(
        asked.filter,
        pattern,
        group,
        min(asked.qos, qos),
        asked.no_local,
        asked.retain_as_published,
        asked.retain_handling,
        identifier,
    )


def split_shared(name: str) -> tuple[str, str]:
    """Return group and pattern of a filter; the group is empty for one that is not shared."""
    if not name.startswith(SHARED_PREFIX):
        return "", name
    group, _, pattern = name[len(SHARED_PREFIX) :].partition("/")
    return group, pattern


class Match(msgspec.Struct, frozen=True, gc=False):
    """What all filters of a client together make of the messages of one channel.

    Attributes:
        qos: the highest that was granted (MQTT 3.1.1, 3.3.5).
        identifiers: of all that match (MQTT 5, 3.3.4), in the order of the filters.
    """

    qos: int
    retain_as_published: bool
    identifiers: tuple[int, ...]


class Filters:
    """The filters of one client by name, in the order in which they came; shared ones are among them."""

    __slots__ = ("_by_name", "_groups", "_matches")

    def __init__(self) -> None:
        self._by_name: dict[str, Filter] = {}
        self._groups = 0
        # None until the first match: most clients never need it.
        self._matches: dict[tuple[str, bool], Match | None] | None = None

    def put(self, one: Filter) -> Filter | None:
        """Add a filter in place of the one of the same name, which is returned."""
        self._matches = None
        former = self._by_name.get(one.name)
        self._by_name[one.name] = one
        self._groups += bool(one.group) and former is None
        return former

    def remove(self, name: str) -> Filter | None:
        """Remove a filter and return it, if it is there."""
        self._matches = None
        removed = self._by_name.pop(name, None)
        self._groups -= removed is not None and bool(removed.group)
        return removed

    def get(self, name: str) -> Filter | None:
        """Return the filter of a name."""
        return self._by_name.get(name)

    def of_pattern(self, pattern: str) -> list[Filter]:
        """Return the filters that match the same: one that is not shared, and those of groups."""
        return [one for one in self._by_name.values() if one.pattern == pattern]

    def shared(self, channel: str) -> list[Filter]:
        """Return the filters of groups that match a channel."""
        if not self._groups:
            return []
        return [one for one in self._by_name.values() if one.group and pattern_matches(one.pattern, channel)]

    def groups(self) -> list[Filter]:
        """Return the filters of groups."""
        return [one for one in self._by_name.values() if one.group] if self._groups else []

    def match(self, channel: str, own: bool = False) -> Match | None:
        """Return what the filters that are not shared make of a channel; None: none matches.

        Args:
            own: whether the client published the message itself: filters with No Local do not count then.
        """
        if self._matches is None or len(self._matches) > _REMEMBERED:
            self._matches = {}
        key = (channel, own)
        if key not in self._matches:
            self._matches[key] = self._find(channel, own)
        return self._matches[key]

    def all(self) -> list[Filter]:
        """Return all filters."""
        return list(self._by_name.values())

    @property
    def are_plain(self) -> bool:
        """Whether every message that they match goes out as one frame that all such clients share."""
        return all(one.is_plain for one in self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def _find(self, channel: str, own: bool) -> Match | None:
        found = [
            one
            for one in self._by_name.values()
            if not one.group and not (own and one.no_local) and pattern_matches(one.pattern, channel)
        ]
        if not found:
            return None
        return Match(
            max(one.qos for one in found),
            any(one.retain_as_published for one in found),
            tuple(one.identifier for one in found if one.identifier),
        )
