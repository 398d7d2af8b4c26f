"""Two nodes are restarted one after the other under load; `make faults` does it often, and on NATS too.

Workers on the NATS server that they bring along are restarted in tests/server/test_workers.py.
"""

import pytest

from tests.programmes.kills import missed
from tests.programmes.rolling import came_back, roll


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_rolling_restart_of_two_nodes_under_load_loses_nothing_acknowledged() -> None:
    judged, events = await roll("redis", 1)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    again, recovered = came_back(events)
    # Every client was on one of the two nodes, and both ended.
    assert again >= 8
    assert recovered == again
    assert missed(events) == 0
