"""Health, readiness, metrics, version: for machines that ask every second."""

from tests.api.rig import Api, problem
from tests.hub.harness import World


async def test_health_and_version_need_no_credential() -> None:
    api = Api()
    assert (await api.request("GET", "/healthz", credential=None)).json() == {"status": "ok"}
    version = await api.request("GET", "/version", credential=None)
    assert version.json() == {"name": "chappe", "version": "1.2.3", "node": "n1"}
    assert (await api.request("HEAD", "/healthz", credential=None)).status_code == 200


async def test_a_hub_whose_broker_stores_is_ready() -> None:
    response = await Api().request("GET", "/readyz", credential=None)
    assert (response.status_code, response.json()) == (200, {"ready": True, "reasons": {}})
    assert response.headers["cache-control"] == "no-store"


async def test_a_draining_hub_is_not_ready_and_says_why() -> None:
    api = Api()
    api.reasons["hub"] = "draining"
    response = await api.request("GET", "/readyz", credential=None)
    assert (response.status_code, response.json()) == (503, {"ready": False, "reasons": {"hub": "draining"}})
    assert (await api.request("GET", "/healthz", credential=None)).status_code == 200


async def test_a_hub_whose_broker_fails_is_not_ready() -> None:
    world = World("faulty")
    assert world.faulty is not None
    api = Api(world)

    async def probe() -> int:
        response = await api.request("GET", "/readyz", credential=None)
        return response.status_code

    await world.broker.stop()
    assert await api.while_time_passes(probe()) == 503


async def test_metrics_count_what_happened() -> None:
    api = Api()
    await api.post("publish", {"channel": "news", "data": 1})
    await api.refused("publish", {})
    page = (await api.request("GET", "/metrics")).text
    assert "# TYPE chappe_published_total counter\nchappe_published_total 1\n" in page
    assert 'chappe_errors_total{code="107"} 1\n' in page
    assert "# TYPE chappe_links gauge\nchappe_links 3\n" in page


async def test_metrics_ask_for_a_right() -> None:
    api = Api()
    assert problem(await api.request("GET", "/metrics", credential=None))["code"] == 101
    assert problem(await api.request("GET", "/metrics", credential="ada:"))["code"] == 103
    for credential in ("ada:api", "ada:operator"):
        assert (await api.request("GET", "/metrics", credential=credential)).status_code == 200
    opened = Api(api_open=True)
    assert (await opened.request("GET", "/metrics", credential=None)).status_code == 200
