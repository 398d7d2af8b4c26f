"""The log of claims over an engine that several nodes share."""

from __future__ import annotations

import pytest

from chappe.hub.mqtt.claim_log import RETRY_S, SNAPSHOT_ENTRIES, Counts, SharedClaimLog, channel_of
from chappe.hub.mqtt.claims import Changes, Entry, Wanted
from chappe.protocols.base import SincePosition
from tests.hub.mqtt.boxes import Boxes

NAME = "$share/g/jobs/#"


class Reader:
    """Somebody who acts on the log of one node."""

    def __init__(self, nodes: Boxes, number: int) -> None:
        self.entries: list[Entry] = []
        self.restorations = 0
        self.counts = Counts()
        self.log = SharedClaimLog(nodes[number].hub, NAME, self, 3_600.0, self.counts)
        self.log.open()
        nodes.clock.advance(0.1)

    def applied(self, entry: Entry, changes: Changes) -> None:
        """Note an entry."""
        self.entries.append(entry)

    def restored(self) -> None:
        """Count."""
        self.restorations += 1

    def say(self, nodes: Boxes, number: int) -> None:
        """Be here, and claim a message."""
        self.log.draft.share = 1
        self.log.draft.since = SincePosition(position="x:0")
        self.log.draft.claims.append(Wanted(("a", "e", number, number), 1))
        self.log.flush()
        nodes.clock.advance(0.02)


def test_all_nodes_read_the_same() -> None:
    nodes = Boxes(2)
    one, two = Reader(nodes, 0), Reader(nodes, 1)
    for number in range(1, 6):
        (one if number % 2 else two).say(nodes, number)
    assert one.entries == two.entries
    assert one.log.claims.snapshot(9) == two.log.claims.snapshot(9)
    assert len(one.log.claims.claims) == 5
    assert one.log.is_idle


def test_what_is_said_while_something_is_on_its_way_is_one_entry() -> None:
    nodes = Boxes(1)
    one = Reader(nodes, 0)
    for number in range(1, 50):
        one.log.draft.claims.append(Wanted(("a", "e", number, number), 1))
        one.log.flush()
    nodes.clock.advance(0.1)
    assert [len(each.claims) for each in one.entries] == [1, 48]


def test_who_comes_late_reads_what_was_written_down_in_one_and_the_rest() -> None:
    nodes = Boxes(2)
    one = Reader(nodes, 0)
    count = 3 * SNAPSHOT_ENTRIES + 10
    for number in range(1, count + 1):
        one.say(nodes, number)
    two = Reader(nodes, 1)
    assert two.log.claims.snapshot(1) == one.log.claims.snapshot(1)
    assert len(two.log.claims.claims) == count
    assert (two.restorations, two.entries) == (1, [])
    retained = nodes.engine.inner._streams[channel_of(NAME)].retained
    assert retained is not None
    assert one.log.applied - retained.offset < SNAPSHOT_ENTRIES


def test_what_is_not_answered_is_said_again_and_counts_once() -> None:
    nodes = Boxes(2)
    one, two = Reader(nodes, 0), Reader(nodes, 1)
    two.log.draft.claims.append(Wanted(("a", "e", 1, 1), 1))
    two.log.flush()
    # It reaches the engine, and the answer is lost.
    nodes.clock.advance(nodes.engine.latency_s * 1.5)
    nodes.engine.nodes[1].cut()
    nodes.clock.advance(0.1)
    assert two.log._stored == 0
    nodes.engine.nodes[1].restore()
    nodes.clock.advance(2 * RETRY_S)
    assert two.counts.failures >= 1
    assert two.log.is_idle
    assert [len(each.claims) for each in one.entries if each.node == nodes[1].hub.node] == [1, 1]
    assert one.log.claims.snapshot(1) == two.log.claims.snapshot(1)


def test_what_the_feed_lost_is_read() -> None:
    nodes = Boxes(2)
    one, two = Reader(nodes, 0), Reader(nodes, 1)
    way = nodes.engine.nodes[1]
    way.loses = lambda publication: publication.channel == channel_of(NAME)
    for number in range(1, 4):
        one.say(nodes, number)
    assert two.entries == []
    way.loses = lambda publication: False
    way.interrupt()
    nodes.clock.advance(0.1)
    assert two.entries == one.entries


def test_a_part_of_the_log_that_is_gone_is_made_up_for_by_what_was_written_down_in_one() -> None:
    nodes = Boxes(2)
    one, two = Reader(nodes, 0), Reader(nodes, 1)
    nodes.engine.nodes[1].loses = lambda publication: publication.channel == channel_of(NAME)
    for number in range(1, 2_400):
        one.say(nodes, number)
    nodes.engine.nodes[1].loses = lambda publication: False
    two.log.interrupted()
    nodes.clock.advance(0.1)
    assert two.log.claims.snapshot(1) == one.log.claims.snapshot(1)
    assert two.restorations == 2
    assert two.counts.gaps == 0


@pytest.mark.parametrize("payload", [b"\xff", b"\x93\x01\x02\x03"])
def test_what_nobody_understands_is_counted(payload: bytes) -> None:
    nodes = Boxes(1)
    one = Reader(nodes, 0)
    nodes[0].broker.append([one.log._append(payload)], lambda outcomes: None)
    nodes.clock.advance(0.1)
    assert one.counts.malformed == 1
    one.say(nodes, 1)
    assert len(one.entries) == 1


def test_all_that_is_done_is_written_down_and_read_by_who_comes() -> None:
    nodes = Boxes(2)
    one = Reader(nodes, 0)
    one.say(nodes, 1)
    for number in range(2, 20_002):
        one.log.draft.done.append((f"{'x' * 170}/{number % 50}", "e", number, number))
    one.log.flush()
    nodes.clock.advance(2.0)
    one.log.save()
    nodes.clock.advance(0.1)
    two = Reader(nodes, 1)
    assert len(two.log.claims.done) == 20_000
    assert two.log.claims.done == one.log.claims.done
    assert two.counts.gaps == one.counts.too_large == 0


def test_what_does_not_fit_into_one_is_not_shortened() -> None:
    nodes = Boxes(2)
    one = Reader(nodes, 0)
    one.say(nodes, 1)
    one.log.save()
    for number in range(2, 8_002):
        one.log.draft.done.append((f"{'x' * 170}/{number}", "e", 1, number))
    one.log.flush()
    nodes.clock.advance(2.0)
    one.log.save()
    nodes.clock.advance(0.1)
    assert one.counts.too_large >= 1
    # From what was written down before, and what was said since.
    two = Reader(nodes, 1)
    assert two.log.claims.done == one.log.claims.done
    assert two.counts.gaps == 0
