"""Where a subscriber is, whatever the order of answers, cuts and duplicates."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chappe.client.cursor import MAX_PATTERN_CHANNELS, ChannelCursor, PatternCursor, Since
from chappe.client.messages import Publication, Reply
from chappe.model.position import Position


def publication(offset: int, epoch: str = "a", channel: str = "news", *, retained: bool = False) -> Publication:
    return Publication(channel, offset, offset, epoch, retained=retained)


def reply(offset: int, epoch: str = "a", *, recovered: bool = False) -> Reply:
    return Reply(1, channel="news", epoch=epoch, offset=offset, recovered=recovered)


def test_from_now_on_begins_at_the_answer() -> None:
    cursor = ChannelCursor(None)
    assert cursor.since() is None
    assert cursor.answered(reply(44)) is False
    assert cursor.since() == {"epoch": "a", "offset": 44}


def test_what_was_seen_is_not_new_again() -> None:
    cursor = ChannelCursor(None)
    cursor.answered(reply(44))
    assert cursor.admit(publication(45))
    assert not cursor.admit(publication(45))
    assert not cursor.admit(publication(44))
    assert cursor.admit(publication(48)), "offsets may have gaps"


def test_a_gap_that_is_cut_off_is_asked_for_from_the_last_one_that_came() -> None:
    cursor = ChannelCursor(Position("a", 41))
    assert cursor.answered(reply(44, recovered=True)) is True
    cursor.admit(publication(42))
    assert cursor.since() == {"epoch": "a", "offset": 42}


def test_what_cannot_be_recovered_goes_on_at_the_answer() -> None:
    cursor = ChannelCursor(Position("a", 41))
    assert cursor.answered(reply(3, "b")) is False
    assert cursor.position == Position("b", 3)


def test_an_answer_of_another_epoch_is_never_recovered_whatever_it_says() -> None:
    cursor = ChannelCursor(Position("a", 41))
    assert cursor.answered(reply(50, "b", recovered=True)) is False
    assert cursor.position == Position("b", 50)


@pytest.mark.parametrize("since", ["latest", 3])
def test_a_backlog_lies_before_its_answer_and_is_admitted(since: Since) -> None:
    cursor = ChannelCursor(since)
    assert cursor.since() == since
    cursor.answered(reply(44))
    assert cursor.admit(publication(44))
    assert not cursor.admit(publication(44))
    assert cursor.since() == {"epoch": "a", "offset": 44}


def test_a_backlog_that_was_cut_off_counts_as_incomplete() -> None:
    cursor = ChannelCursor("latest")
    cursor.answered(reply(44))
    assert cursor.since() == {"epoch": "a", "offset": 44}
    assert cursor.answered(reply(46, recovered=True)) is False
    assert cursor.admit(publication(45))


def test_a_backlog_of_an_empty_channel_begins_at_its_start() -> None:
    cursor = ChannelCursor("latest")
    cursor.answered(reply(0))
    assert cursor.answered(reply(2, recovered=True)) is True


def test_what_has_no_place_is_always_new_and_moves_nothing() -> None:
    cursor = ChannelCursor(None)
    cursor.answered(reply(44))
    for _ in range(2):
        assert cursor.admit(Publication("news", "typing"))
    assert cursor.position == Position("a", 44)


def test_a_retained_publication_is_news_once_and_moves_nothing() -> None:
    cursor = ChannelCursor(None)
    cursor.answered(reply(44))
    assert cursor.admit(publication(30, retained=True))
    assert not cursor.admit(publication(30, retained=True))
    assert cursor.position == Position("a", 44)
    assert cursor.admit(publication(45))
    assert not cursor.admit(publication(45, retained=True)), "it came live before"


def test_a_place_the_hub_refuses_can_be_forgotten() -> None:
    cursor = ChannelCursor(Position("a", 41))
    cursor.forget()
    assert cursor.since() is None


def test_a_pattern_asks_from_its_last_complete_answer() -> None:
    cursor = PatternCursor(None)
    assert cursor.answered(Reply(1, channel="news/#", position="log-1")) is False
    assert cursor.since() == {"position": "log-1"}
    assert cursor.answered(Reply(1, channel="news/#", position="log-2", recovered=True)) is True
    assert cursor.since() == {"position": "log-1"}, "the gap may still be on its way"
    assert cursor.position is None


def test_a_pattern_tells_duplicates_by_channel() -> None:
    cursor = PatternCursor(None)
    assert cursor.admit(publication(1, channel="news/a"))
    assert cursor.admit(publication(1, channel="news/b"))
    assert not cursor.admit(publication(1, channel="news/a"))
    assert cursor.admit(publication(1, "b", channel="news/a"))


def test_a_pattern_remembers_a_bounded_number_of_channels() -> None:
    cursor = PatternCursor(None)
    for number in range(MAX_PATTERN_CHANNELS + 1):
        cursor.admit(publication(1, channel=f"news/{number}"))
    assert cursor.admit(publication(1, channel="news/0"))
    assert not cursor.admit(publication(1, channel=f"news/{MAX_PATTERN_CHANNELS}"))


@dataclass
class Wire:
    """What is on its way to the client over the present connection."""

    answered: bool = False
    frames: list[Any] = field(default_factory=list)


class SubscriberMachine(RuleBasedStateMachine):
    """A channel, a client, cuts at every point, lost history: nothing doubled, nothing lost without being told."""

    @initialize(since=st.sampled_from([None, "latest", 2]), before=st.integers(0, 3))
    def begin(self, since: Since, before: int) -> None:
        self.epoch = 0
        self.offset = 0
        self.history: list[tuple[int, int]] = []
        self.taken: list[tuple[int, int]] = []
        self.complete_from: tuple[int, int] | None = None
        for _ in range(before):
            self.publish(1)
        self.cursor = ChannelCursor(since)
        self.asked = False
        self.wire = Wire()
        self.subscribe()

    def subscribe(self) -> None:
        since = self.cursor.since()
        self.wire = Wire()
        gap: list[tuple[int, int]] = []
        recovered = False
        if isinstance(since, dict):
            place = (int(since["epoch"]), since["offset"])
            kept = [entry for entry in self.history if entry[0] == self.epoch]
            first = kept[0][1] if kept else self.offset + 1
            recovered = place[0] == self.epoch and place[1] <= self.offset and place[1] >= first - 1
            gap = [entry for entry in kept if entry > place] if recovered else []
        elif since is not None:
            gap = self.history[-1:] if since == "latest" else self.history[-since:]
        self.wire.frames = [reply(self.offset, str(self.epoch), recovered=recovered), *gap]

    @rule(step=st.integers(1, 3))
    def publish(self, step: int) -> None:
        self.offset += step
        self.history.append((self.epoch, self.offset))
        if hasattr(self, "wire"):
            self.wire.frames.append((self.epoch, self.offset))

    @precondition(lambda self: self.wire.frames)
    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.wire.frames))):
            frame = self.wire.frames.pop(0)
            if isinstance(frame, Reply):
                complete = self.cursor.answered(frame)
                if not complete:
                    self.complete_from = (int(frame.epoch or 0), frame.offset)
            elif self.cursor.admit(publication(frame[1], str(frame[0]))):
                self.taken.append(frame)

    @rule()
    def cut(self) -> None:
        self.subscribe()

    @rule()
    def trim(self) -> None:
        # As a hub that keeps two: what a subscriber asks for may be gone, so offsets are contiguous from here.
        self.history = self.history[-2:]

    @rule()
    def restart_with_a_new_epoch(self) -> None:
        self.epoch += 1
        self.offset = 0
        self.history = []
        self.subscribe()

    @invariant()
    def nothing_is_doubled_or_out_of_order(self) -> None:
        if hasattr(self, "taken"):
            assert self.taken == sorted(set(self.taken))

    @invariant()
    def nothing_is_missing_since_the_last_answer_that_said_so(self) -> None:
        if getattr(self, "complete_from", None) is None:
            return
        assert self.complete_from is not None
        reached = max([self.complete_from, *self.taken])
        expected = [entry for entry in self.history if self.complete_from < entry <= reached]
        assert [entry for entry in self.taken if entry in set(expected)] == expected


TestSubscriber = pytest.mark.slow(SubscriberMachine.TestCase)
TestSubscriber.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
