"""The line of what goes out: bounded, in order, and nothing leaves it unnoticed."""

from typing import Any

from chappe.bridges.mqtt.outbox import Item, Outbox
from chappe.model.publication import Kind, Publication


class Feed:
    """Counts what is done."""

    def __init__(self) -> None:
        self.done = 0

    def finished(self) -> None:
        self.done += 1


def item(feed: Any, payload: bytes, qos: int = 1, retain: bool | None = False) -> Item:
    publication = Publication("a", payload, Kind.BINARY, 1, "e", 0)
    return Item(feed, publication, "a", payload, qos, "", retain)


def filled(*items: Item, messages: int = 10, bytes_: int = 100_000) -> Outbox:
    box = Outbox(messages, bytes_)
    for each in items:
        box.put(each)
    return box


def test_what_is_put_in_comes_out_in_order_and_at_most_so_many_at_once() -> None:
    feed = Feed()
    box = filled(*(item(feed, b"%d" % number) for number in range(4)))
    for number in range(2):
        found = box.next(2)
        assert found is not None
        assert found.payload == b"%d" % number
        box.sent(number + 1, found)
    assert box.next(2) is None
    assert len(box) == 4
    assert box.confirmed(2) is not None
    assert box.confirmed(2) is None
    assert feed.done == 1
    following = box.next(2)
    assert following is not None
    assert following.payload == b"2"


def test_one_whose_flag_is_not_known_holds_the_others() -> None:
    feed = Feed()
    first = item(feed, b"1", retain=None)
    box = filled(first, item(feed, b"2"))
    assert box.next(10) is None
    first.retain = True
    assert box.next(10) is first


def test_it_is_full_by_messages_and_by_bytes() -> None:
    feed = Feed()
    box = filled(item(feed, b"1"), item(feed, b"2"), messages=3)
    assert (box.is_full, box.is_half_empty) == (False, False)
    box.put(item(feed, b"3"))
    assert box.is_full
    large = filled(item(feed, b"x" * 1_000), bytes_=1_000)
    assert large.is_full
    found = large.next(1)
    assert found is not None
    large.drop(found, "too-large")
    assert (large.bytes, large.is_half_empty, dict(large.dropped)) == (0, True, {"too-large": 1})


def test_a_cut_drops_what_has_qos_0_and_keeps_the_rest() -> None:
    feed = Feed()
    kept = item(feed, b"kept")
    box = filled(item(feed, b"under way", 0), item(feed, b"waits", 0), kept)
    first = box.next(1)
    assert first is not None
    box.sent(1, first)
    box.cut()
    assert (len(box), box.dropped["cut"], feed.done) == (1, 2, 2)
    assert box.next(1) is kept


def test_what_is_lost_at_the_end_is_counted() -> None:
    feed = Feed()
    box = filled(item(feed, b"1"), item(feed, b"22"))
    assert box.clear("stopped", lambda each: each.payload == b"1") == 1
    assert (len(box), box.bytes, box.dropped["stopped"]) == (0, 0, 1)
