"""Servers are measured in turn and reduced to medians; a generator at its limit is told."""

from __future__ import annotations

import dataclasses

import pytest

from chappe.bench.comparison import Case, Measured, Spread, compare, load_for
from chappe.bench.load import Memory, Result
from chappe.bench.servers import Server, find

from .serving import QUICK

NOTHING = Memory(pss_kb=0, buffers_kb=0, objects_kb=0)
ZEROS = dict.fromkeys((f.name for f in dataclasses.fields(Result)), 0)
RESULT = Result(**{**ZEROS, "before": NOTHING, "after": NOTHING, "seconds": 2.0})  # type: ignore[arg-type]


def test_a_spread_is_median_smallest_and_largest() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


def test_figures_are_per_second_core_and_connection() -> None:
    result = dataclasses.replace(
        RESULT,
        opened=100,
        opening_s=0.5,
        opening_cpu_s=0.25,
        deliveries=1000,
        server_cpu_s=0.5,
        generator_cpu_s=1.8,
        before=Memory(pss_kb=1000, buffers_kb=0, objects_kb=500),
        after=Memory(pss_kb=1300, buffers_kb=100, objects_kb=900),
    )
    assert (result.per_s, result.per_cpu_s, result.generator_share) == (500, 2000, 0.9)
    assert (result.opened_per_s, result.opened_per_cpu_s) == (200, 400)
    assert (result.pss_kb_per_connection, result.kernel_kb_per_connection) == (3, 5)
    assert result.idle_cpu_us == 0.5 * 1e6 / 2 / 100
    assert Measured(name="a", version="", results=(result,)).is_limited


def test_what_is_not_known_is_nought() -> None:
    empty = dataclasses.replace(RESULT, seconds=0.0)
    assert (empty.per_s, empty.per_cpu_s, empty.generator_share, empty.idle_cpu_us) == (0, 0, 0, 0)
    assert (empty.opened_per_s, empty.opened_per_cpu_s) == (0, 0)
    assert (empty.pss_kb_per_connection, empty.kernel_kb_per_connection) == (0, 0)


def test_faults_of_all_rounds_are_added() -> None:
    rounds = (dataclasses.replace(RESULT, lost=2), dataclasses.replace(RESULT, lost=1, closed=4))
    measured = Measured(name="a", version="", results=rounds)
    assert measured.faults() == {"lost": 3, "closed": 4}
    assert not measured.is_limited


def test_a_load_has_the_words_of_the_server_and_what_is_wanted_wins() -> None:
    server = Server(name="a", command=(), speech={"fanout": {"path": "/fan", "message": "<%s>"}}, tls=True)
    load = load_for(server, "fanout", 80, (1,), mode="burst", message="%s")
    assert (load.mode, load.path, load.message, load.tls, load.port, load.pids) == (
        "burst",
        "/fan",
        "%s",
        True,
        80,
        (1,),
    )


@pytest.mark.slow
def test_servers_take_turns() -> None:
    told: list[tuple[str, int]] = []
    floor = find("floor")
    cases = [Case(name=name, server=floor, kind="echo", wanted=QUICK) for name in "ab"]
    found = compare(cases, 2, lambda name, number, result: told.append((name, number)))
    assert told == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [(each.name, len(each.results)) for each in found] == [("a", 2), ("b", 2)]
    assert all(result.server_cpu_s > 0 for each in found for result in each.results)
