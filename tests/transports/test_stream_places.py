"""Where a reader of several channels is."""

from __future__ import annotations

from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.sse import parse_cursor, place_in
from chappe.transports.stream_places import Places


def at(places: Places, name: str) -> base.SincePosition | None:
    return place_in(parse_cursor(places.encode().decode()), name)


def entered(places: Places, channel: str, since: base.Since = None, *, recovered: bool = False) -> None:
    places.enter(base.Subscribed(1, channel, Position("e", 5), None, recovered), since)


def said(channel: str, offset: int, log: int = 0) -> Publication:
    return Publication(channel, b"1", Kind.JSON, offset, "e", 0, log=log)


def test_a_subscription_begins_where_its_gap_begins() -> None:
    places = Places()
    entered(places, "a")
    entered(places, "b", base.SincePosition("e", 3), recovered=True)
    entered(places, "c", base.SincePosition("e", 9))
    entered(places, "d", "latest")
    places.enter(base.Subscribed(1, "p/#", None, "l:7", False), None)
    assert at(places, "a") == base.SincePosition("e", 5)
    assert at(places, "b") == base.SincePosition("e", 3)
    assert at(places, "c") == base.SincePosition("e", 5)
    assert at(places, "d") is None
    assert at(places, "p/#") == base.SincePosition(position="l:7")


def test_publications_move_it_and_what_is_not_kept_does_not() -> None:
    places = Places()
    entered(places, "a")
    places.enter(base.Subscribed(1, "p/#", None, "l:7", False), None)
    assert places.move(said("a", 6, 8))
    assert places.move(said("p/1", 1, 9))
    assert not places.move(Publication("a", b"1", Kind.BINARY, 0, "e", 0, transient=True))
    assert at(places, "a") == base.SincePosition("e", 6)
    assert at(places, "p/#") == base.SincePosition(position="l:9")


def test_who_left_is_nowhere_and_who_comes_again_is_where_it_comes() -> None:
    places = Places()
    entered(places, "a")
    places.move(said("a", 6))
    places.leave("a")
    assert at(places, "a") is None
    places.move(said("a", 7))
    entered(places, "a", base.SincePosition("e", 2), recovered=True)
    assert at(places, "a") == base.SincePosition("e", 2)
