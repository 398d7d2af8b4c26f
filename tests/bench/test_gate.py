"""The gate against regressions: a hub beside the `websockets` library, both measured in this very run.

Nothing stored is compared: a slow machine makes both slow. The margins are wide, since two seconds on a machine that
does other things say little; a path that became twice as slow does not pass.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from chappe.bench.comparison import Case, compare
from chappe.bench.hub import hub
from chappe.bench.servers import Kind, find

#: About half of what the native path shows beside it: echo 3 to 4, fan-out 1.7 and more.
LEAST: dict[Kind, float] = {"echo": 1.5, "fanout": 1.0}
ATTEMPTS = 2


def ratio(folder: Path, kind: Kind) -> float:
    """Measure both in turn, twice; return deliveries per CPU-second of the hub over those of the peer."""
    wanted = {"connections": 100, "seconds": 0.7, "warmup_s": 0.2, "payload_bytes": 100}
    servers = [hub(folder), find("websockets")]
    found = compare([Case(name=s.name, server=s, kind=kind, wanted=wanted) for s in servers], 2)
    ours, theirs = (each.spread(lambda result: result.per_cpu_s).median for each in found)
    return ours / theirs


@pytest.mark.slow
@pytest.mark.parametrize("kind", LEAST)
def test_the_hub_has_not_become_slower_beside_its_peer(tmp_path: Path, kind: Kind) -> None:
    ratios: list[float] = []
    while len(ratios) < ATTEMPTS and max(ratios, default=0.0) < LEAST[kind]:
        ratios.append(ratio(tmp_path, kind))
    assert max(ratios) >= LEAST[kind], f"{kind}: {ratios} of websockets, expected {LEAST[kind]}"
