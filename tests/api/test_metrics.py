"""Metrics: every counter of the hub has a name, and each name once."""

from chappe.api.metrics import hub_metrics, metrics_page
from tests.hub.cluster.rig import Nodes
from tests.hub.harness import World, namespace, since


def test_every_counter_of_the_hub_is_shown() -> None:
    hub = World().hub
    metrics = hub_metrics(hub)
    for name in hub.counters.totals():
        assert f"chappe_{name}_total" in metrics


def test_what_the_parts_above_know_comes_with_it() -> None:
    hub = World().hub
    hub.counters.count_error(103)
    page = metrics_page(hub, {"chappe_links": 2}).decode()
    names = [line.split()[0] for line in page.splitlines() if not line.startswith("#")]
    assert len(set(names)) == len(names)
    assert 'chappe_errors_total{code="103"}' in names
    assert "chappe_links 2" in page


def test_what_the_broker_counts_is_shown() -> None:
    world = World(namespaces=[namespace("default", history_count=2)])
    for number in range(3):
        world.append("a", number, key="k")
    page = metrics_page(world.hub, {}).decode()
    assert "chappe_broker_duplicates_total 2" in page
    assert "chappe_broker_streams 1" in page
    assert "# HELP chappe_broker_history_bytes" in page


def test_what_is_kept_for_clients_that_come_back_is_shown() -> None:
    (world,) = Nodes(1).worlds
    position = since(world.client().ask("subscribe", channel="a"))
    world.append("a", 0)
    for _ in range(2):
        world.client().ask("subscribe", channel="a", since=position)
    page = metrics_page(world.hub, {}).decode()
    assert f"chappe_recovery_cache_bytes {world.hub.recovery.kept_bytes}" in page
    assert world.hub.recovery.kept_bytes > 0
    for line in ("cache_channels 1", "reads_total 1", "shared_total 1", "refused_total 0", "evicted_total 0"):
        assert f"chappe_recovery_{line}" in page
