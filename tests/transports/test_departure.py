"""Who is told when a connection is lost."""

from chappe.transports.departure import EXTENSION, Departure, departure_of


def test_everybody_who_asked_and_did_not_take_it_back_is_told_once() -> None:
    departure, told = Departure(), []
    first, second, third = (lambda name=name: told.append(name) for name in "abc")
    for callback in (first, second, third):
        departure.tell(callback)
    departure.forget(second)
    departure.happened()
    departure.happened()
    departure.forget(first)
    assert told == ["a", "c"]


def test_who_asks_too_late_is_told_at_once() -> None:
    # A poll behind middleware that thought while its client left would have waited for its whole time.
    departure, told = Departure(), []
    departure.happened()
    departure.tell(lambda: told.append("late"))
    assert told == ["late"]


def test_it_is_found_in_the_extensions_of_a_scope() -> None:
    departure = Departure()
    assert departure_of({"extensions": {EXTENSION: departure}}) is departure
    assert departure_of({"extensions": {EXTENSION: {}}}) is None
    assert departure_of({}) is None
