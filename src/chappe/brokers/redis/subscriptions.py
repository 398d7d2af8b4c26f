"""Which feeds of a server this hub follows, changed in batches."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from chappe.brokers.redis.connection import Command
from chappe.brokers.redis.entries import Keys
from chappe.model.channels import is_pattern

#: Feeds in one SUBSCRIBE: thousands of channels come back in a few commands, and none of them is long.
_BATCH: Final = 512


class Subscriptions:
    """The feeds of one server: one for each channel, and a wider one for all patterns of a namespace."""

    def __init__(self, partitions: Sequence[Keys], *, in_cluster: bool) -> None:
        self._partitions = {keys.number: keys for keys in partitions}
        self._in_cluster = in_cluster
        self._channels: dict[str, Keys] = {}
        # Feeds wanted, each with the number of names that want it.
        self._wanted: dict[str, int] = {}
        self._subscribed: set[str] = set()
        # Those that are Redis patterns: one for each namespace, kept when they are given up.
        self._wide: set[str] = set()
        self._due: dict[str, None] = {}
        self._fresh: dict[str, Keys] = {}

    @property
    def is_due(self) -> bool:
        """Whether something changed since `flush`."""
        return bool(self._due)

    def add(self, name: str, keys: Keys) -> None:
        """Follow a channel of a partition, or what matches a pattern there."""
        if is_pattern(name):
            feed = keys.wide_feed(name)
            self._wide.add(feed)
        else:
            feed = keys.feed(name)
            self._channels[name] = self._fresh[name] = keys
        self._wanted[feed] = self._wanted.get(feed, 0) + 1
        self._due[feed] = None

    def discard(self, name: str, keys: Keys) -> None:
        """Give a channel or pattern up that was added."""
        feed = keys.wide_feed(name) if is_pattern(name) else keys.feed(name)
        self._channels.pop(name, None)
        self._fresh.pop(name, None)
        left = self._wanted[feed] - 1
        if left:
            self._wanted[feed] = left
        else:
            del self._wanted[feed]
        self._due[feed] = None

    def has(self, feed: bytes) -> bool:
        """Tell whether a feed should be coming."""
        return feed.decode(errors="replace") in self._subscribed

    def renew(self) -> list[str]:
        """Subscribe to everything again at the next `flush`; return the channels that were followed until now."""
        followed = [name for name in self._channels if name not in self._fresh]
        self._subscribed.clear()
        self._due = dict.fromkeys(self._wanted)
        self._fresh = dict(self._channels)
        return followed

    def flush(self, tell: Callable[[Command], None]) -> dict[int, list[str]]:
        """Send the difference; return the channels that are new, by partition."""
        due, self._due = self._due, {}
        more = [feed for feed in due if feed in self._wanted and feed not in self._subscribed]
        less = [feed for feed in due if feed not in self._wanted and feed in self._subscribed]
        for command, feeds in (("SUBSCRIBE", more), ("UNSUBSCRIBE", less)):
            for kind, part in self._batches(feeds):
                tell((kind + command, *part))
        self._subscribed.update(more)
        self._subscribed.difference_update(less)
        fresh, self._fresh = self._fresh, {}
        return _by_partition(fresh.items())

    def _batches(self, feeds: Sequence[str]) -> Iterable[tuple[str, Sequence[str]]]:
        """Cut into commands, each with the letter that makes its kind; in a cluster each must be of one partition."""
        groups: dict[tuple[str, str], list[str]] = {}
        for feed in feeds:
            group = ("S", feed.partition("}")[0]) if self._in_cluster else ("P" if feed in self._wide else "", "")
            groups.setdefault(group, []).append(feed)
        for (kind, _), group_feeds in groups.items():
            for start in range(0, len(group_feeds), _BATCH):
                yield kind, group_feeds[start : start + _BATCH]

    def channels(self) -> dict[int, list[str]]:
        """Return the channels followed by their names, by partition, every partition in it."""
        return {**{number: [] for number in self._partitions}, **_by_partition(self._channels.items())}


def _by_partition(channels: Iterable[tuple[str, Keys]]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, keys in channels:
        found.setdefault(keys.number, []).append(name)
    return found
