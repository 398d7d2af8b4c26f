"""What comes in: published in the hub, and confirmed when the hub's broker has it."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from chappe.bridges.mqtt.confirming import Arrival
from chappe.bridges.mqtt.marks import Echoes, has_passed, passing
from chappe.bridges.mqtt.topics import Mapping
from chappe.hub.contracts import Outcome, Read, ReadResult
from chappe.hub.hub import HubCore
from chappe.hub.permissions import APPLICATION
from chappe.model.errors import ChappeError
from chappe.model.publication import Kind
from chappe.protocols import base

_log = logging.getLogger("chappe.bridge")
#: Refusals that are logged, by topic and code; the others are only counted.
_LOGGED: Final = 100


class Incoming:
    """Publishes what arrives.

    A message that the hub refuses for good (too large, a name that is none) is confirmed, counted and logged: the
    outside broker would send it for ever. One that the hub's broker cannot store now is not confirmed, and `failed` is
    called.

    Attributes:
        counts: `received`, `refused`, `looped` (came round, and was left out), `known` (retained, and here already).
    """

    def __init__(
        self,
        hub: HubCore,
        mappings: Sequence[Mapping],
        mark: str,
        echoes: Echoes | None,
        confirm: Callable[[Arrival], None],
        failed: Callable[[Arrival], None],
    ) -> None:
        """Take what is needed; `echoes` is for MQTT 3.1.1, whose messages carry no mark."""
        self._hub = hub
        self._mappings = [mapping for mapping in mappings if mapping.goes_in]
        self._mark = mark
        self._echoes = echoes
        self._confirm = confirm
        self._failed = failed
        self._logged: set[tuple[str, int]] = set()
        self.counts: Counter[str] = Counter()

    def channel_of(self, topic: str) -> str | None:
        """Return the channel of a topic; None: nothing of it comes in."""
        return next((name for each in self._mappings if (name := each.to_channel(topic)) is not None), None)

    def arrived(self, arrival: Arrival) -> None:
        """Take a message."""
        channel = self.channel_of(arrival.topic)
        if channel is None or self._came_round(arrival):
            # A filter of a former configuration may still be in the broker's session.
            self.counts["refused" if channel is None else "looped"] += 1
            self._confirm(arrival)
        elif self._echoes is None:
            self._publish(arrival, channel, arrival.retain)
        else:
            self._publish_unsure(arrival, channel)

    def _came_round(self, arrival: Arrival) -> bool:
        if self._echoes is not None:
            return self._echoes.recognize(arrival.topic, arrival.payload, self._hub.clock.now())
        return has_passed(self._mark, arrival.headers)

    def _publish_unsure(self, arrival: Arrival, channel: str) -> None:
        """Publish what came by MQTT 3.1.1: its retain flag says only that the broker had kept it before we asked.

        So what is retained here already is not published again, and where something is retained the newest is.
        """
        try:
            self._hub.check_known_channel(channel)
        except ChappeError as error:
            self._refuse(arrival, error)
            return

        def read(result: ReadResult) -> None:
            slot = result.retained
            if arrival.retain and slot is not None and slot.as_raw() == arrival.payload:
                self.counts["known"] += 1
                self._confirm(arrival)
            else:
                self._publish(arrival, channel, arrival.retain or slot is not None)

        self._hub.broker.read(Read(channel, self._hub.namespaces.of(channel), None, 0), read)

    def _publish(self, arrival: Arrival, channel: str, retain: bool) -> None:
        headers = passing(self._mark, arrival.headers)
        command = base.Publish(0, channel, arrival.payload, _kind(arrival.payload), None, None, retain, headers)

        def done(outcome: Outcome | None, error: ChappeError | None) -> None:
            if outcome is None or outcome.error:
                if not arrival.qos:
                    self.counts["refused"] += 1
                self._failed(arrival)
                return
            self.counts["received"] += 1
            self._confirm(arrival)

        try:
            self._hub.publish(APPLICATION, command, done)
        except ChappeError as refusal:
            self._refuse(arrival, refusal)

    def _refuse(self, arrival: Arrival, error: ChappeError) -> None:
        self.counts["refused"] += 1
        key = (arrival.topic, error.code)
        if key not in self._logged and len(self._logged) < _LOGGED:
            self._logged.add(key)
            _log.warning("bridge to MQTT: a message of %s was refused: %s", arrival.topic[:255], error)
        self._confirm(arrival)


def _kind(payload: bytes) -> Kind:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return Kind.BINARY
    return Kind.TEXT
