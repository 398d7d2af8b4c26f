"""What the hub publishes for one mapping, followed from a place that outlives this process."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from chappe.bridges.listening import Listener
from chappe.bridges.mqtt.marks import has_passed
from chappe.bridges.mqtt.outbox import Item, Outbox
from chappe.bridges.mqtt.topics import Mapping
from chappe.hub.contracts import Read, ReadResult, Timer
from chappe.hub.hub import HubCore
from chappe.hub.namespaces import Level
from chappe.model.channels import is_pattern
from chappe.model.publication import Publication
from chappe.protocols import base

_log = logging.getLogger("chappe.bridge")
#: How long to wait before asking for a feed again that was refused or interrupted, seconds.
_RETRY_S: Final = 1.0


class Feed:
    """Puts publications of one mapping into the outbox, in their order.

    When the outbox is full, what a history keeps is read again when there is room; what is kept nowhere is dropped.

    Attributes:
        place: everything up to here is done: sent and confirmed, or not to be sent.
        gaps: how often the history no longer had all that came after the place.
        is_behind: the outbox was full, and publications wait in the history.
    """

    def __init__(self, hub: HubCore, mapping: Mapping, outbox: Outbox, mark: str, pump: Callable[[], None]) -> None:
        self._hub = hub
        self._outbox = outbox
        self._mark = mark
        self._pump = pump
        self.mapping = mapping
        self._is_pattern = is_pattern(mapping.local)
        self._listener: Listener | None = None
        self._timer: Timer | None = None
        self._items: deque[Item] = deque()
        self._log_prefix = ""
        # Where listening begins again: behind what was put into the outbox last.
        self._tail = ""
        self._asked_since = False
        self.is_connected: Callable[[], bool] = lambda: False
        self.place = ""
        self.gaps = 0
        self.is_behind = False

    def start(self, place: str) -> None:
        """Follow from a place; empty: from now on, after what is retained."""
        self.place = self._tail = place
        self._listen()

    def stop(self) -> None:
        """Follow nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.is_behind = False

    def catch_up(self) -> None:
        """Read what was left out: there is room. Not within the call, which may come from what is being read."""
        if self.is_behind and self._timer is None:
            self._timer = self._hub.clock.call_later(0, self._listen)

    def finished(self) -> None:
        """Learn that an item is done: the place moves up to the first that is not."""
        while self._items and self._items[0].is_done:
            self.place = self._items.popleft().place or self.place

    @property
    def survives(self) -> bool:
        """Whether the next carrier reads from the history what is not done."""
        return bool(self.place) and self._hub.namespaces.of(self.mapping.local).level is not Level.LIVE

    # --- Following ---------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self.stop()
        since: dict[str, base.Since] = {}
        if self._tail and self._is_pattern:
            since[self.mapping.local] = base.SincePosition(position=self._tail)
        elif self._tail:
            epoch, _, offset = self._tail.rpartition(":")
            since[self.mapping.local] = base.SincePosition(epoch, int(offset))
        self._asked_since = bool(since)
        self._listener = Listener(
            self._hub, (self.mapping.local,), self._heard, self._again, since=since, told=self._told
        )

    def _again(self) -> None:
        if self._timer is None:
            self._timer = self._hub.clock.call_later(_RETRY_S, self._listen)

    def _told(self, message: base.Message) -> None:
        if isinstance(message, base.Subscribed):
            self._subscribed(message)
        elif isinstance(message, base.Failed | base.Unsubscribed):
            _log.warning("bridge to MQTT: %s is not followed: %s", self.mapping.local, message.reason)
            self._again()

    def _subscribed(self, message: base.Subscribed) -> None:
        place = message.log_position or ""
        if message.position is not None and message.position.epoch:
            place = f"{message.position.epoch}:{message.position.offset}"
        self._log_prefix = place.rpartition(":")[0]
        if self._asked_since and message.recovered:
            return
        if self._asked_since:
            self.gaps += 1
            _log.warning("bridge to MQTT: %s: publications may be missing, the hub no longer has them", message.channel)
        self._move(place)

    def _heard(self, publication: Publication) -> None:
        place = self._place_of(publication)
        if has_passed(self._mark, publication.headers):
            # It came from there.
            if not self.is_behind:
                self._move(place)
            return
        is_kept = bool(place) and self._hub.namespaces.of(publication.channel).level is not Level.LIVE
        if is_kept and (self.is_behind or self._outbox.is_full):
            self.is_behind = True
            return
        item = Item(
            self,
            publication,
            self.mapping.to_topic(publication.channel),
            publication.as_raw(),
            self.mapping.qos,
            "" if self.is_behind else place,
            True if publication.retained else None,
        )
        self._items.append(item)
        self._tail = item.place or self._tail
        if self._outbox.is_full or not (item.qos or self.is_connected()):
            self._give_up(item)
            return
        self._outbox.put(item)
        if item.retain is None:
            self._ask_retained(item)
        self._pump()

    def _give_up(self, item: Item) -> None:
        self._outbox.dropped["full" if self._outbox.is_full else "cut"] += 1
        item.is_done = True
        self.finished()

    def _ask_retained(self, item: Item) -> None:
        """Learn whether a publication is the retained one: the feed does not say."""
        publication = item.publication
        namespace = self._hub.namespaces.of(publication.channel)

        def read(result: ReadResult) -> None:
            slot = result.retained
            if slot is None:
                # An empty one clears the slot there as well.
                item.retain = not result.error and not item.payload
            else:
                item.retain = (slot.epoch, slot.offset) == (publication.epoch, publication.offset)
            self._pump()

        self._hub.broker.read(Read(publication.channel, namespace, None, 0), read)

    def _place_of(self, publication: Publication) -> str:
        if publication.transient or publication.retained:
            return ""
        if self._is_pattern:
            return f"{self._log_prefix}:{publication.log}" if publication.log else ""
        return f"{publication.epoch}:{publication.offset}" if publication.offset else ""

    def _move(self, place: str) -> None:
        """Be at a place where nothing is to be sent: it counts when all before it is done."""
        if not place:
            return
        self._tail = place
        if self._items:
            self._items[-1].place = place
        else:
            self.place = place
