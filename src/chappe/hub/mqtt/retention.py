"""What namespaces keep for sessions that are away: nothing is queued, so the log must reach back to them."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from chappe.hub.mqtt.options import MqttOptions
from chappe.hub.namespaces import Level, Namespace, Namespaces
from chappe.hub.pattern_index import PatternIndex
from chappe.protocols.mqtt.filters import Filter

#: Channels whose answer is remembered; above, all are forgotten.
_REMEMBERED: Final = 8_192


def is_fleeting(namespace: Namespace) -> bool:
    """Tell whether a namespace keeps nothing that a session could come back for."""
    return namespace.level is Level.LIVE or namespace.ephemeral


class Retention:
    """Tells, for each channel, under which options its publications are stored.

    Where a session that outlives its connection has a filter of QoS 1 or 2, its channels keep `session_queue_messages`
    for `session_expiry_max_s`, if that is more than their namespace says.
    """

    def __init__(self, namespaces: Namespaces, options: MqttOptions) -> None:
        self._index: PatternIndex[str] = PatternIndex()
        # How many sessions need each pattern, and what each needs.
        self._counts: dict[str, int] = {}
        self._needs: dict[str, frozenset[str]] = {}
        self._options = options
        self._widened = {each.name: self._widen(each) for each in namespaces}
        self._known: dict[str, Namespace] = {}

    def of(self, channel: str, namespace: Namespace) -> Namespace:
        """Return the options under which a publication in a channel is stored."""
        if not self._counts:
            return namespace
        known = self._known.get(channel)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            is_needed = not is_fleeting(namespace) and bool(self._index.match(channel))
            known = self._widened.get(namespace.name, namespace) if is_needed else namespace
            self._known[channel] = known
        return known

    def needs_of(self, client_id: str) -> frozenset[str]:
        """Return the patterns that a session needs."""
        return self._needs.get(client_id, frozenset())

    def need(self, client_id: str, filters: Iterable[Filter]) -> bool:
        """Keep what the session of a client needs, in place of what it needed before; none: it is over.

        What is stored already goes by its age. Returns whether something changed.
        """
        return self.need_patterns(client_id, [one.pattern for one in filters if one.qos])

    def need_patterns(self, client_id: str, patterns: Iterable[str]) -> bool:
        """Do the same for the patterns of filters of QoS 1 and 2."""
        wanted = frozenset(patterns)
        former = self._needs.pop(client_id, frozenset())
        if wanted:
            self._needs[client_id] = wanted
        for pattern in wanted - former:
            self._counts[pattern] = self._counts.get(pattern, 0) + 1
            if self._counts[pattern] == 1:
                self._index.add(pattern, pattern)
        for pattern in former - wanted:
            self._counts[pattern] -= 1
            if not self._counts[pattern]:
                del self._counts[pattern]
                self._index.discard(pattern, pattern)
        if wanted == former:
            return False
        self._known.clear()
        return True

    def _widen(self, namespace: Namespace) -> Namespace:
        options = self._options
        return replace(
            namespace,
            history_count=max(namespace.history_count, options.session_queue_messages),
            history_age_s=max(namespace.history_age_s, float(options.session_expiry_max_s)),
        )
