"""What waits for a slow reader is bounded in bytes and messages, and what is dropped is counted."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.frame import Bundle, Frame, SlowConsumer
from chappe.transports.send_queue import _SEARCHED, SendQueue, size_of


def frame(payload: bytes, policy: SlowConsumer | None = None, channel: str = "a", key: str | None = None) -> Frame:
    """Return an answer, or with a policy a publication."""
    made = Frame(payload, True, channel if policy is not None else None, key)
    made.policy = policy or SlowConsumer.DISCONNECT
    return made


def payloads(queue: SendQueue) -> list[bytes]:
    return [queue.pop().payload for _ in range(len(queue))]


def test_frames_come_out_in_the_order_they_went_in_and_their_bytes_are_counted() -> None:
    queue = SendQueue(100, 0)
    for payload in (b"a", b"bb", b"ccc"):
        assert queue.put(frame(payload), 0)
    assert (len(queue), queue.queued_bytes) == (3, 6)
    assert payloads(queue) == [b"a", b"bb", b"ccc"]
    assert queue.queued_bytes == 0


def test_one_large_frame_may_exceed_the_cap_once() -> None:
    queue = SendQueue(10, 0)
    assert queue.put(frame(b"x" * 1_000), 0)
    assert not queue.put(frame(b"y"), 0)


def test_bytes_beyond_the_queue_count_too() -> None:
    queue = SendQueue(10, 0)
    assert queue.put(frame(b"x"), 10)
    assert not queue.put(frame(b"y"), 10)


def test_a_cap_of_messages_counts_messages() -> None:
    queue = SendQueue(1_000, 2)
    assert [queue.put(frame(b"x"), 0) for _ in range(3)] == [True, True, False]


def test_a_bundle_counts_all_its_parts() -> None:
    assert size_of(Bundle.of([frame(b"aa"), frame(b"bbb")])) == 5


def test_the_oldest_publications_go_first_and_answers_stay() -> None:
    queue = SendQueue(4, 0)
    oldest = SlowConsumer.DROP_OLDEST
    for each in (frame(b"11", oldest), frame(b"22"), frame(b"33", oldest, "b")):
        assert queue.put(each, 0)
    assert queue.put(frame(b"44", oldest, "c"), 0)
    assert queue.take_dropped() == {"a": 1}
    assert queue.take_dropped() == {}
    assert payloads(queue) == [b"22", b"33", b"44"]


def test_an_answer_that_finds_the_queue_over_ends_the_connection() -> None:
    queue = SendQueue(1, 0)
    assert queue.put(frame(b"11", SlowConsumer.DROP_OLDEST), 0)
    assert not queue.put(frame(b"22"), 0)


def test_nothing_to_drop_ends_the_connection() -> None:
    queue = SendQueue(1, 0)
    assert queue.put(frame(b"11"), 0)
    assert not queue.put(frame(b"22", SlowConsumer.DROP_OLDEST), 0)


def test_behind_too_many_answers_no_publication_is_looked_for() -> None:
    queue = SendQueue(_SEARCHED, 0)
    for _ in range(_SEARCHED + 1):
        assert queue.put(frame(b"x"), 0)
    queue.put(frame(b"y", SlowConsumer.DROP_OLDEST), -10)
    assert not queue.put(frame(b"z", SlowConsumer.DROP_OLDEST), 0)


def test_of_each_channel_and_key_only_the_newest_waits() -> None:
    queue = SendQueue(1_000, 0)
    latest = SlowConsumer.LATEST
    for payload, channel, key in [
        (b"1", "a", "k"),
        (b"2", "a", "l"),
        (b"3", "b", "k"),
        (b"4", "a", "k"),
        (b"5", "a", None),
    ]:
        assert queue.put(frame(payload, latest, channel, key), 0)
    assert queue.take_dropped() == {"a": 1}
    assert payloads(queue) == [b"2", b"3", b"4", b"5"]


def test_clearing_forgets_everything() -> None:
    queue = SendQueue(10, 0)
    queue.put(frame(b"x"), 0)
    queue.clear()
    assert (len(queue), queue.queued_bytes) == (0, 0)


frames = st.tuples(
    st.binary(max_size=8),
    st.sampled_from([None, SlowConsumer.DISCONNECT, SlowConsumer.DROP_OLDEST, SlowConsumer.LATEST]),
    st.sampled_from("ab"),
    st.sampled_from([None, "k"]),
)


@given(st.lists(frames, max_size=40), st.integers(0, 30), st.integers(0, 6))
def test_nothing_disappears_without_being_counted(
    several: list[tuple[bytes, SlowConsumer | None, str, str | None]], max_bytes: int, max_messages: int
) -> None:
    queue = SendQueue(max_bytes, max_messages)
    taken = 0
    for payload, policy, channel, key in several:
        before = queue.queued_bytes
        if not queue.put(frame(payload, policy, channel, key), 0):
            break
        taken += 1
        assert queue.queued_bytes <= max(max_bytes, before) + len(payload)
    waiting = len(queue)
    assert waiting + sum(queue.take_dropped().values()) == taken
    payloads(queue)
    assert queue.queued_bytes == 0


@pytest.mark.parametrize("policy", list(SlowConsumer))
def test_while_there_is_room_no_policy_acts_on_different_keys(policy: SlowConsumer) -> None:
    queue = SendQueue(100, 0)
    for number in range(5):
        assert queue.put(frame(b"x", policy, key=str(number)), 0)
    assert len(queue) == 5


def test_replacing_is_as_quick_with_many_keys_as_with_few() -> None:
    def seconds(keys: int) -> float:
        queue = SendQueue(10_000_000, 0)
        for number in range(keys):
            queue.put(frame(b"x", SlowConsumer.LATEST, key=str(number)), 0)
        began = time.perf_counter()
        for number in range(keys - 200, keys):
            queue.put(frame(b"y", SlowConsumer.LATEST, key=str(number)), 0)
        return time.perf_counter() - began

    assert min(seconds(20_000) for _ in range(3)) < 20 * min(seconds(200) for _ in range(3))


def test_a_key_that_was_read_replaces_nothing_any_more() -> None:
    queue = SendQueue(1_000, 0)
    for payload in (b"a", b"b", b"c"):
        assert queue.put(frame(payload, SlowConsumer.LATEST, key="k"), 0)
    assert queue.pop().payload == b"c"
    assert queue.put(frame(b"d", SlowConsumer.LATEST, key="k"), 0)
    assert payloads(queue) == [b"d"]
    assert queue.take_dropped() == {"a": 2}
