from __future__ import annotations

from chappe.hub.mqtt.shares import Alone, parts_of


def test_places_are_told_in_parts() -> None:
    places = [("a", "e", offset) for offset in range(2_500)]
    parts = parts_of(places)
    assert [len(part) for part in parts] == [1_000, 1_000, 500]
    assert [place for part in parts for place in part] == places
    assert parts_of([]) == []


def test_alone_there_is_nobody_to_tell() -> None:
    alone = Alone()
    assert not alone.has_others("$share/g/a")
    assert alone.metrics() == {}
