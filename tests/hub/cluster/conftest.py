import pytest

from tests.hub.cluster.rig import Nodes


@pytest.fixture
def nodes() -> Nodes:
    return Nodes()
