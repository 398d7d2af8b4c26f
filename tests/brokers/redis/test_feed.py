"""The feed as messages come: copies, gaps, generations, and what waits for its outcome."""

from collections.abc import Sequence

import pytest

from chappe.brokers.redis.entries import encode
from chappe.brokers.redis.feed import Attached, Feed, Numbers, guarded
from chappe.model.publication import Publication
from tests.brokers.redis.attending import item


class Sink:
    def __init__(self) -> None:
        self.told: list[object] = []

    def published(self, batch: Sequence[Publication]) -> None:
        self.told.extend((each.channel, each.offset) for each in batch)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        self.told.append(None if channels is None else sorted(channels))


class World:
    def __init__(self, *names: str, partitions: int = 1) -> None:
        attached = Attached()
        for name in names:
            attached.add(name)
        self.attached = attached
        self.sink = Sink()
        numbers = None if partitions == 1 else Numbers()
        self.feed = Feed("here", attached, lambda channel: len(channel) % partitions, numbers)
        self.feed.sink = self.sink
        for partition in range(partitions):
            self.feed.begin(partition, "g", 0)

    def take(
        self, channel: str, log: int, offset: int, *, epoch: str = "e", number: int = 0, generation: str = "g"
    ) -> None:
        entry = encode(item(channel), "here" if number else "there", number or log)
        self.feed.take(b"%b:%d:%b:%d:%b" % (generation.encode(), log, epoch.encode(), offset, entry))

    def give(self) -> list[object]:
        self.feed.give(lambda error: pytest.fail(str(error)))
        told, self.sink.told = self.sink.told, []
        return told


def test_copies_by_channel_and_by_pattern_are_one() -> None:
    world = World("a", "+")
    for _ in range(3):
        world.take("a", 1, 1)
    assert world.give() == [("a", 1)]


def test_what_nobody_wants_is_left_out() -> None:
    world = World("a", "news/+")
    world.take("newsroom", 1, 1)
    world.take("news/x", 2, 1)
    assert world.give() == [("news/x", 1)]


def test_a_gap_and_a_new_epoch_are_told_before_what_follows() -> None:
    world = World("a")
    world.take("a", 1, 1)
    world.take("a", 3, 3)
    world.take("a", 4, 1, epoch="f")
    assert world.give() == [("a", 1), ["a"], ("a", 3), ["a"], ("a", 1)]


def test_what_came_already_does_not_come_again() -> None:
    world = World("a", "b")
    world.take("a", 5, 2)
    world.take("a", 4, 1)
    world.take("b", 5, 1)
    assert world.give() == [("a", 2)]


def test_own_publications_wait_for_their_outcome_and_hold_back_what_came_later() -> None:
    world = World("a", "b")
    world.take("a", 1, 1)
    world.take("a", 2, 2, number=1)
    world.take("b", 3, 1)
    assert world.give() == [("a", 1)]
    world.feed.told = 1
    assert world.give() == [("a", 2), ("b", 1)]


def test_a_new_generation_is_told_once() -> None:
    world = World("a")
    world.take("a", 7, 1)
    world.feed.begin(0, "", 0)
    world.take("a", 1, 1, epoch="f", generation="h")
    assert world.give() == [("a", 1), None, ("a", 1)]


def test_a_look_notices_what_never_came() -> None:
    world = World("a", "b")
    world.feed.look("a", "e", 3)
    world.take("a", 4, 4)
    world.feed.look("a", "e", 4)
    world.feed.look("a", "e", 5)
    world.feed.look("b", "", 0)
    world.feed.look("b", "e", 1)
    world.feed.look("nobody", "e", 1)
    assert world.give() == [("a", 4), ["a"]]


def test_what_is_put_aside_comes_behind_what_was_read() -> None:
    world = World("a")
    world.take("a", 1, 1)
    world.feed.put_aside()
    world.take("a", 3, 3)
    world.feed.look("a", "e", 3)
    missed = Publication("a", b"", item("a").kind, 2, "e", 0, log=2)
    world.feed.fill([missed])
    world.feed.reached(9)
    world.feed.log = 2
    world.feed.resume()
    assert world.give() == [("a", 1), ("a", 2), ("a", 3)]


def test_what_is_put_aside_when_older_news_cannot_be_read_is_read_again_with_them() -> None:
    world = World("a", "b")
    world.take("a", 1, 1)
    world.take("b", 2, 1)
    world.feed.put_aside()
    world.take("a", 5, 3)
    world.feed.drop_aside()
    # Else the next read began behind what is missing.
    assert world.feed.log == 2
    world.feed.put_aside()
    world.feed.fill([Publication(name, b"", item(name).kind, 2, "e", 0, log=log) for name, log in (("a", 3), ("b", 4))])
    world.feed.fill([Publication("a", b"", item("a").kind, 3, "e", 0, log=5)])
    world.feed.log = 5
    world.feed.resume()
    assert world.give() == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)]


def test_a_gap_in_what_was_read_is_told_like_one_in_what_came() -> None:
    world = World("a")
    world.take("a", 1, 1)
    world.feed.fill([Publication("a", b"", item("a").kind, 3, "e", 0, log=3)])
    assert world.give() == [("a", 1), ["a"], ("a", 3)]


def test_with_several_partitions_a_new_generation_concerns_its_own_channels_and_patterns() -> None:
    world = World("a", "bb", "+/x", partitions=2)
    world.take("a", 9, 1)
    world.take("bb", 1, 1)
    world.take("a", 1, 1, epoch="f", generation="h")
    assert world.give() == [("a", 1), ("bb", 1), ["+/x", "a"], ("a", 1)]


def test_a_name_is_attached_once() -> None:
    attached = Attached()
    assert attached.add("a")
    assert not attached.add("a")
    assert attached.add("+/b")
    assert attached.wants("x/b")
    assert attached.discard("+/b")
    assert not attached.discard("+/b")
    assert not attached.wants("x/b")


def test_a_callback_that_raises_is_reported() -> None:
    heard: list[Exception] = []

    def fails() -> None:
        raise RuntimeError("a bug")

    guarded(fails, heard.append)
    assert [str(error) for error in heard] == ["a bug"]
