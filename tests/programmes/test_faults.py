"""The parts of the fault programme are known by name, and each result replaces the last one of its part."""

from pathlib import Path

from chappe.testing.checker.findings import Finding, Kind
from chappe.testing.checker.journal import Event, Place, Seen, Subscribed
from chappe.testing.checker.judge import Verdict
from tests.programmes import faults
from tests.programmes.kills import evidence
from tests.programmes.result import Result, keep, render
from tests.programmes.result import load as kept_in


def made(part: str, *, kept: bool = True, verdict: str = "clean", load: float = 0.0) -> Result:
    details = f"All of {part}."
    return Result(
        part=part, done="it is killed", times="3 kills", verdict=verdict, kept=kept, details=details, load=load
    )


def test_every_part_of_the_programme_is_there() -> None:
    parts = set(faults.parts())
    assert parts >= {"hub-memory", "hub-sqlite-recoverable", "hub-sqlite-durable", "damage", "full-disk"}
    assert parts >= {f"{kind}-{engine}" for kind in ("kills", "partitions", "loss") for engine in faults.ENGINES}
    assert parts >= {"failover", "rolling-redis", "rolling-nats", "avalanche", "jitter"}
    assert parts >= {"mqtt_clients", "mqtt_hub-sqlite", "mqtt_hub-redis", "mqtt_hub-nats", "mqtt_redis", "mqtt_nats"}
    assert "mqtt_group" in parts
    assert faults.order()[:-1] == list(faults.parts())


def test_a_result_takes_the_place_of_the_last_one_of_its_part(tmp_path: Path) -> None:
    file, page = tmp_path / "faults.json", tmp_path / "FAULTS.md"
    order = ["first", "second"]
    for result in (
        made("second"),
        made("first", verdict="broken", kept=False),
        made("second", verdict="cleaner", load=2.5),
    ):
        keep(result, order, file, page)
    assert [each.verdict for each in kept_in(file).values()] == ["broken", "cleaner"]
    text = page.read_text()
    assert "| `first` | it is killed | 3 kills | 0 |  | **missed**: broken |" in text
    assert text.index("| `first`") < text.index("| `second` | it is killed | 3 kills | 0 | 2.5 | cleaner |")
    assert "## Second\n\nAll of second." in text


def test_the_page_says_where_each_part_was_done() -> None:
    one, other = made("one"), made("other")
    one.machine, other.machine = "a machine", "another"
    text = render([one, other])
    assert "a machine, : `one`." in text
    assert "another, : `other`." in text


def test_a_broken_promise_comes_with_its_evidence() -> None:
    place = {"channel": "a", "subscriber": "Ada"}
    events: list[Event] = [
        Seen(**place, time=10.0, epoch="e", offset=3, hash="h"),
        Subscribed(**place, time=11.5, epoch="e", offset=4, since=Place("e", 3), recovered=True),  # type: ignore[arg-type]
    ]
    judged = Verdict(
        findings=(Finding(Kind.LOST, "a", "Ada did not see 5 of epoch 'e'"),),
        defects_found=27,
        attempts=1,
        acknowledged=1,
        seen=1,
        subscriptions=1,
        recovered=1,
    )
    text = evidence(judged, events)
    for line in ("did not see 5", "1.500 s: Subscribed", "0.000 s: Ada saw"):
        assert line in text
