"""How bridges are: to everybody their state, to operators the rest."""

from chappe.api.metrics import metrics_page
from chappe.hub.bridges import BridgeState, BridgeStatus
from tests.api.rig import Api


class Bridge:
    """Tells what it is given."""

    def __init__(self, name: str, state: BridgeState, problem: str = "") -> None:
        counts = {"received": 5, "dropped": 2, "waiting": 1}
        self._told = BridgeStatus(
            name=name, kind="mqtt", peer="mqtts://h:8883", state=state, problem=problem, counts=counts
        )

    def status(self) -> BridgeStatus:
        return self._told


def api_with_bridges() -> Api:
    api = Api()
    api.hub.bridges += [Bridge("home", "connected"), Bridge("away", "connecting", "the broker refuses the login")]
    return api


async def test_readiness_names_states_and_is_not_touched_by_them() -> None:
    api = api_with_bridges()
    response = await api.request("GET", "/readyz", credential=None)
    assert response.status_code == 200
    assert response.json() == {"ready": True, "reasons": {}, "bridges": {"home": "connected", "away": "connecting"}}


async def test_a_hub_without_bridges_says_nothing_of_them() -> None:
    assert (await Api().request("GET", "/readyz", credential=None)).json() == {"ready": True, "reasons": {}}


async def test_operators_and_backends_learn_the_rest() -> None:
    response = await api_with_bridges().request("GET", "/api/bridges")
    home, away = response.json()["bridges"]
    assert (home["peer"], home["counts"]["received"], home["problem"]) == ("mqtts://h:8883", 5, "")
    assert away["problem"] == "the broker refuses the login"
    assert (await api_with_bridges().request("GET", "/api/bridges", credential=None)).status_code == 401


def test_metrics_have_a_line_for_each_count_of_each_bridge() -> None:
    page = metrics_page(api_with_bridges().hub, {}).decode()
    assert 'chappe_bridge_connected{bridge="home",kind="mqtt"} 1' in page
    assert 'chappe_bridge_connected{bridge="away",kind="mqtt"} 0' in page
    assert 'chappe_bridge_received_total{bridge="home",kind="mqtt"} 5' in page
    assert 'chappe_bridge_waiting{bridge="home",kind="mqtt"} 1' in page
