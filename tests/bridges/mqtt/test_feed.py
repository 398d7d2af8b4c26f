"""What one mapping brings out: from its place on, once each, and never out again what came in."""

from chappe.app import Hub
from chappe.bridges.mqtt.feed import Feed
from chappe.bridges.mqtt.marks import MARK
from chappe.bridges.mqtt.outbox import Item, Outbox
from chappe.bridges.mqtt.topics import parse
from chappe.hub.namespaces import Level
from tests.bridges.mqtt.mosquitto import open_hub, until

OWN = "own-mark"


class Way:
    """A hub, an outbox, and the feed between."""

    def __init__(self, hub: Hub, line: str = "a/# out 1", messages: int = 100) -> None:
        self.hub = hub
        self.outbox = Outbox(messages)
        self.feed = Feed(hub.core, parse([line])[0], self.outbox, OWN, lambda: None)
        self.feed.is_connected = lambda: True

    def take(self) -> list[Item]:
        """Take what waits, as a connection does."""
        found: list[Item] = []
        while (item := self.outbox.next(1_000)) is not None:
            self.outbox.sent(len(found) + 1, item)
            found.append(item)
        return found

    def confirm(self, packet_id: int) -> None:
        assert self.outbox.confirmed(packet_id) is not None


async def test_the_place_is_behind_the_first_that_is_not_confirmed() -> None:
    hub = open_hub()
    await hub.start()
    for line, channel in (("a/# out 1", "a/x"), ("b out 1", "b")):
        way = Way(hub, line)
        way.feed.start("")
        began = way.feed.place
        for number in range(3):
            await hub.publish(channel, number)
        assert [item.payload for item in way.take()] == [b"0", b"1", b"2"]
        way.confirm(2)
        assert way.feed.place == began
        way.confirm(1)
        second = way.feed.place
        assert second != began
        way.feed.stop()
        await hub.publish(channel, 3)
        again = Way(hub, line)
        again.feed.start(second)
        assert [item.payload for item in again.take()] == [b"2", b"3"]
        assert again.feed.gaps == 0
        again.feed.stop()
    await hub.stop()


async def test_what_came_from_there_moves_the_place_and_goes_nowhere() -> None:
    hub = open_hub()
    await hub.start()
    way = Way(hub)
    way.feed.start("")
    began = way.feed.place
    await hub.publish("a/x", 1, headers={MARK: f"other,{OWN}"})
    assert way.take() == []
    moved = way.feed.place
    assert moved != began
    await hub.publish("a/x", 2)
    await hub.publish("a/x", 3, headers={MARK: OWN})
    assert [item.payload for item in way.take()] == [b"2"]
    assert way.feed.place == moved
    way.confirm(1)
    last = way.feed.place
    again = Way(hub)
    again.feed.start(last)
    assert again.take() == []
    for feed in (way.feed, again.feed):
        feed.stop()
    await hub.stop()


async def test_a_full_outbox_sends_it_back_to_the_history() -> None:
    hub = open_hub()
    await hub.start()
    way = Way(hub, messages=3)
    way.feed.start("")
    for number in range(8):
        await hub.publish("a/x", number)
    assert way.feed.is_behind
    found: list[bytes] = []
    while len(found) < 8:
        items = way.take()
        found += [item.payload for item in items]
        for number in range(1, len(items) + 1):
            way.confirm(number)
        way.feed.catch_up()
        await until(lambda: len(way.outbox) or not way.feed.is_behind, "the next ones")
    assert found == [str(number).encode() for number in range(8)]
    assert (way.feed.gaps, way.outbox.dropped.total()) == (0, 0)
    way.feed.stop()
    await hub.stop()


async def test_a_place_of_another_life_is_a_gap_and_what_is_retained_comes() -> None:
    hub = open_hub()
    await hub.start()
    await hub.publish("a/x", "kept", retain=True)
    for place in ("another:1", "nonsense"):
        way = Way(hub)
        way.feed.start(place)
        assert way.feed.gaps == 1
        assert [(item.payload, item.retain) for item in way.take()] == [(b"kept", True)]
        assert way.feed.place != place
        way.feed.stop()
    await hub.stop()


async def test_an_interrupted_feed_goes_on_where_it_was() -> None:
    hub = open_hub()
    await hub.start()
    way = Way(hub)
    way.feed.start("")
    await hub.publish("a/x", 1)
    hub.core.delivery.interrupted(None)
    await hub.publish("a/x", 2)
    await until(lambda: len(way.outbox) == 2, "the second one")
    assert [item.payload for item in way.take()] == [b"1", b"2"]
    assert way.feed.gaps == 0
    way.feed.stop()
    await hub.stop()


async def test_only_a_history_survives() -> None:
    for level, survives in ((Level.LIVE, False), (Level.RECOVERABLE, True)):
        hub = open_hub(level=level)
        await hub.start()
        way = Way(hub)
        way.feed.start("")
        assert way.feed.survives is survives
        way.feed.stop()
        await hub.stop()
