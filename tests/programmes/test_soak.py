"""The soak counts what a hub holds and tells growth from noise; `make soak` does it for 80 minutes."""

from pathlib import Path

import pytest

from tests.programmes.soak import Soak, Trend, result, run, write
from tests.programmes.soaked_hub import Sample


def samples(growth_per_h: float, noise: int = 3) -> list[tuple[float, Sample]]:
    """Return an hour of samples, of which memory grows by a share in an hour."""
    made = []
    for number in range(361):
        rss = 100_000_000 * (1 + growth_per_h * number / 360) + (number % 2) * 100_000
        tasks = 100 + number % noise
        made.append((number * 10.0, Sample(rss_bytes=int(rss), descriptors=2_000, tasks=tasks, timers=50)))
    return made


def test_what_grows_is_told_from_what_is_only_restless() -> None:
    assert Trend(samples(0.0)).is_flat
    assert Trend(samples(0.009)).is_flat
    assert Trend(samples(-0.5)).is_flat
    growing = Trend(samples(0.02))
    assert not growing.is_flat
    assert growing.per_h("rss_bytes") == pytest.approx(0.02, rel=0.05)


def test_the_beginning_is_left_out() -> None:
    filling = samples(0.0)
    filling[:60] = [(seconds, Sample(rss_bytes=1, descriptors=1, tasks=1, timers=1)) for seconds, _ in filling[:60]]
    assert Trend(filling).is_flat


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_short_soak_makes_every_kind_of_change_and_writes_what_it_saw(tmp_path: Path) -> None:
    soak = Soak(minutes=0.05, connections=30, every_s=0.5, stay_s=0.1)
    taken, crowd = await run(soak)
    assert len(taken) >= 5
    assert all(each.descriptors > 30 and each.rss_bytes > 10_000_000 for _, each in taken)
    assert set(crowd.changes) == {"cut", "replace", "publish", "sdk", "sse", "poll"}
    assert (crowd.failures, crowd.skipped) == (0, 0)
    write(tmp_path, taken)
    lines = (tmp_path / "soak.csv").read_text().splitlines()
    assert lines[0] == "seconds,rss_bytes,descriptors,tasks,timers"
    assert len(lines) == len(taken) + 1
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
    assert "| rss_bytes |" in result(soak, taken, crowd).details
