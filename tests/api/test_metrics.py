"""Metrics: every counter of the hub has a name, and each name once."""

from chappe.api.metrics import hub_metrics, metrics_page
from tests.hub.harness import World


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
