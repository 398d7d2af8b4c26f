from __future__ import annotations

from chappe.hub.mqtt.ledger import Entry, Ledger
from chappe.model.publication import Kind, Publication


def at(offset: int) -> tuple[str, str, int]:
    return "a", "e", offset


def entry(owner: str = "n1", payload: bytes = b"") -> Entry:
    return Entry(owner, 1, 0.0, Publication("a", payload, Kind.TEXT, 1, "e", 0) if payload else None)


def test_it_keeps_what_each_node_has_in_order() -> None:
    ledger = Ledger(10, 100_000)
    for offset in range(1, 5):
        ledger.put(at(offset), entry(f"n{offset % 2}"))
    assert ledger.of("n1") == [at(1), at(3)]
    assert ledger.pop(at(1)) is not None
    assert ledger.pop(at(1)) is None
    assert len(ledger) == 3
    ledger.clear()
    assert not len(ledger)


def test_of_too_many_the_oldest_are_given_up_and_counted() -> None:
    ledger = Ledger(3, 100_000)
    for offset in range(1, 6):
        ledger.put(at(offset), entry())
    assert list(ledger.entries) == [at(3), at(4), at(5)]
    assert ledger.forgotten == 2


def test_so_are_the_oldest_of_too_many_bytes_but_never_the_last() -> None:
    ledger = Ledger(10, 1_000)
    ledger.put(at(1), entry(payload=b"x" * 500))
    ledger.put(at(2), entry(payload=b"x" * 5_000))
    assert list(ledger.entries) == [at(2)]
    ledger.pop(at(2))
    ledger.put(at(3), entry(payload=b"x" * 500))
    ledger.put(at(3), entry(payload=b"x" * 600))
    assert ledger.forgotten == 1
