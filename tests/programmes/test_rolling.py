"""Two nodes are restarted one after the other under load; `make faults` does it often."""

import pytest

from tests.programmes.kills import missed
from tests.programmes.rolling import came_back, roll, unconfirmed


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["redis", "nats"])
@pytest.mark.parametrize("anonymous", [False, True], ids=["users", "anonymous"])
async def test_a_rolling_restart_of_two_nodes_under_load_loses_nothing_acknowledged(name: str, anonymous: bool) -> None:
    judged, events = await roll(name, 1, anonymous=anonymous)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    again, recovered = came_back(events)
    # Every client was on one of the two nodes, and both ended.
    assert again >= 8
    assert recovered == again
    assert missed(events) == 0
    assert unconfirmed(events) == 0
