"""The window against a simple model: what is sent, what waits, and in which order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chappe.model.publication import Kind, Publication
from chappe.protocols.mqtt.window import Delivery, Stage, Window


def delivery(number: int, qos: int, size: int = 1) -> Delivery:
    return Delivery(Publication("a", b"x" * size, Kind.BINARY, number, "e", 0), qos)


class Windows(RuleBasedStateMachine):
    """Offers and acknowledges at will."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(3, 4, 1_000_000)
        self.sent: list[tuple[int, Delivery]] = []
        self.released: list[int] = []
        self.waiting: list[Delivery] = []
        self.number = 0

    def depart(self) -> None:
        while (flight := self.window.depart()) is not None:
            assert flight.delivery == self.waiting.pop(0)
            self.sent.append((flight.packet_id, flight.delivery))

    @rule(qos=st.integers(1, 2))
    def offer(self, qos: int) -> None:
        self.number += 1
        one = delivery(self.number, qos)
        taken = self.window.offer(one)
        full = len(self.waiting) >= 4
        assert taken is not full
        if taken:
            self.waiting.append(one)
        self.depart()

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), failed=st.booleans())
    def answer(self, data: st.DataObject, failed: bool) -> None:
        """PUBACK or PUBREC for any that is out, in any order."""
        index = data.draw(st.integers(0, len(self.sent) - 1))
        packet_id, one = self.sent.pop(index)
        if one.qos == 1:
            assert self.window.received(packet_id, failed) is None
            assert self.window.acknowledged(packet_id) == one
        else:
            assert self.window.acknowledged(packet_id) is None
            flight = self.window.received(packet_id, failed)
            assert flight is not None
            if not failed:
                assert flight.stage is Stage.RELEASED
                self.released.append(packet_id)
                # Once more: it was released already, and is again.
                assert self.window.received(packet_id, False) is flight
        self.depart()

    @precondition(lambda self: self.released)
    @rule()
    def complete(self) -> None:
        packet_id = self.released.pop(0)
        assert self.window.completed(packet_id)
        assert not self.window.completed(packet_id)
        self.depart()

    @rule(packet_id=st.integers(60_000, 65_535))
    def answer_nothing(self, packet_id: int) -> None:
        assert self.window.acknowledged(packet_id) is None
        assert self.window.received(packet_id, False) is None
        assert not self.window.completed(packet_id)

    @invariant()
    def in_flight_is_what_was_sent_and_not_answered(self) -> None:
        assert set(self.window.flights) == {packet_id for packet_id, _ in self.sent} | set(self.released)
        assert len(self.window.flights) <= self.window.capacity
        assert len(self.window) == len(self.window.flights) + len(self.waiting)
        assert self.window.waiting_bytes == sum(each.size_bytes for each in self.waiting)


TestWindows = Windows.TestCase


def test_ids_go_round_and_never_meet_one_that_is_out() -> None:
    window = Window(2, 10, 1_000_000)
    kept = window.launch(delivery(0, 1))
    seen = set()
    for number in range(65_600):
        flight = window.launch(delivery(number, 1))
        assert flight.packet_id != kept.packet_id
        assert 1 <= flight.packet_id <= 65_535
        seen.add(flight.packet_id)
        window.acknowledged(flight.packet_id)
    assert len(seen) == 65_534


def test_a_released_message_takes_its_id_only() -> None:
    window = Window(1, 10, 1_000_000)
    flight = window.launch(delivery(1, 2))
    window.received(flight.packet_id, False)
    assert flight.delivery is None
    other = Window(1, 10, 1_000_000)
    other.put_back(flight)
    assert not other.has_room
    assert other.completed(flight.packet_id)


def test_room_that_is_kept_is_nobody_elses() -> None:
    window = Window(2, 10, 1_000_000)
    window.reserved = 2
    assert not window.has_room
    assert window.offer(delivery(1, 1))
    assert window.depart() is None
    window.reserved = 1
    assert window.depart() is not None
