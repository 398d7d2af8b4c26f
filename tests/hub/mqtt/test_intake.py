from __future__ import annotations

from collections.abc import Callable

import pytest

from chappe.hub.contracts import Append, Outcome
from chappe.hub.mqtt.intake import Intake
from chappe.model.publication import Kind, Publication
from chappe.protocols.base import SincePosition
from tests.hub.harness import World, namespace


class Taken:
    """What came, and how much there is room for."""

    def __init__(self, world: World, pattern: str) -> None:
        self.world = world
        self.room = 1_000_000
        self.came: list[bytes] = []
        self.intake = Intake(world.hub, pattern, self.accept)

    def accept(self, publication: Publication) -> bool:
        """Take one if there is room."""
        if len(self.came) >= self.room:
            return False
        self.came.append(publication.payload)
        return True


NAMESPACE = namespace("jobs", history_count=10_000)


def store(world: World, first: int, count: int, feed: Callable[[Publication], None] | None = None) -> list[bytes]:
    """Publish numbers to a few channels; give them to a feed."""
    payloads = [str(number).encode() for number in range(first, first + count)]
    for number, payload in enumerate(payloads):
        told: list[Outcome] = []
        channel = f"jobs/{number % 3}"
        world.broker.append([Append(channel, payload, Kind.TEXT, 0, NAMESPACE)], told.extend)
        position = told[0].position
        if feed is not None:
            log = world.memory.sequence
            feed(Publication(channel, payload, Kind.TEXT, position.offset, position.epoch, 0, log=log))
    return payloads


@pytest.fixture
def taken() -> Taken:
    return Taken(World(namespaces=[NAMESPACE]), "jobs/#")


def begin(taken: Taken) -> SincePosition:
    """Return where the log is."""
    return SincePosition(position=f"{taken.world.memory._log_epoch}:{taken.world.memory.sequence}")


def test_what_was_before_is_read_and_the_rest_comes_by_the_feed_once(taken: Taken) -> None:
    place = begin(taken)
    payloads = store(taken.world, 0, 1_200)
    taken.intake.follow(place)
    payloads += store(taken.world, 1_200, 5, taken.intake.fed)
    assert taken.came == payloads
    assert taken.intake.place == begin(taken)


def test_what_there_is_no_room_for_is_read_when_there_is(taken: Taken) -> None:
    taken.intake.follow(begin(taken))
    taken.room = 3
    payloads = store(taken.world, 0, 10, taken.intake.fed)
    assert taken.came == payloads[:3]
    taken.room = 7
    taken.intake.go_on()
    assert taken.came == payloads[:7]
    taken.room = 100
    taken.intake.go_on()
    assert taken.came == payloads


def test_an_interruption_is_read_again_when_it_is_over(taken: Taken) -> None:
    taken.intake.follow(begin(taken))
    payloads = store(taken.world, 0, 3, taken.intake.fed)
    taken.intake.pause()
    payloads += store(taken.world, 3, 3)
    payloads += store(taken.world, 6, 3, taken.intake.fed)
    assert taken.came == payloads[:3]
    assert taken.intake.place is None
    taken.intake.resume()
    assert taken.came == payloads


def test_what_the_log_has_no_more_is_counted() -> None:
    taken = Taken(World(namespaces=[NAMESPACE]), "jobs/1")
    taken.intake.follow(SincePosition("another life", 7))
    store(taken.world, 0, 9, lambda publication: None)
    taken.intake.resume()
    assert taken.came == [b"1", b"4", b"7"]
    assert taken.intake.gaps == 1
