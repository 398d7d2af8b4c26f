"""`/metrics`: what the hub counts, in the text format of Prometheus."""

from collections.abc import Mapping
from typing import Final

from chappe.hub.contracts import CountingBroker
from chappe.hub.hub import HubCore
from chappe.telemetry import labelled, render_metrics

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_TEXTS: Final = {
    "chappe_connections_total": "Sessions begun.",
    "chappe_logins_total": "Sessions identified.",
    "chappe_disconnects_total": "Sessions ended.",
    "chappe_messages_in_total": "Messages taken from clients.",
    "chappe_published_total": "Publications given to the broker.",
    "chappe_delivered_total": "Publications handed to connections.",
    "chappe_recovered_total": "Publications given again from history.",
    "chappe_recovery_reads_total": "Histories read from the broker for clients that came back.",
    "chappe_recovery_shared_total": "Clients that came back and needed no read of their own.",
    "chappe_recovery_refused_total": "Gaps that were not filled because they were larger than limits.recovery_bytes.",
    "chappe_recovery_evicted_total": "Channels let go to stay below limits.recovery_cache_bytes.",
    "chappe_recovery_cache_bytes": "What is kept for clients that come back.",
    "chappe_recovery_cache_channels": "Channels of which something is kept for clients that come back.",
    "chappe_broker_streams": "Channels with an epoch, history or not.",
    "chappe_broker_streams_evicted_total": "Channels given up to stay below a limit.",
    "chappe_broker_history_bytes": "What all histories take.",
    "chappe_broker_history_trimmed_total": "Publications let go before their time to stay below a limit.",
    "chappe_broker_keys_evicted_total": "Idempotency keys forgotten before their time.",
    "chappe_broker_retained_evicted_total": "Retained publications cleared to stay below a limit.",
    "chappe_broker_commit_failures_total": "Transactions that could not be written.",
    "chappe_dropped_total": "Publications dropped for slow readers, who were told.",
    "chappe_errors_total": "Answers with an error, by code.",
    "chappe_permission_denied_total": "Requests refused by permissions.",
    "chappe_unauthorized_total": "Credentials refused.",
    "chappe_impersonations_total": "Messages refused because they named another speaker.",
    "chappe_rate_limited_total": "Commands refused because they came too fast, by limit.",
    "chappe_connections_refused_total": "Sessions refused before they began, by reason.",
    "chappe_connections_delayed_total": "Connections that waited because their address made too many.",
    "chappe_requests_postponed_total": "Times at which a request waited because others were being read.",
    "chappe_unauthenticated": "Sessions that have not said who they are yet.",
    "chappe_overloaded": "Whether new sessions are refused because memory or time runs out.",
    "chappe_memory_bytes": "Resident memory of the process.",
    "chappe_memory_limit_bytes": "Resident memory at which new sessions are refused.",
    "chappe_loop_lag_seconds": "How late the event loop was when it was last looked at.",
    "chappe_sessions": "Sessions now.",
    "chappe_channels": "Channels with subscribers now.",
    "chappe_locks": "Locks held now.",
    "chappe_bridge_connected": "Whether this node carries the bridge and has a connection.",
    "chappe_bridge_received_total": "Messages of the other system that were published here.",
    "chappe_bridge_sent_total": "Publications that the other system has.",
    "chappe_bridge_refused_total": "Messages of the other system that the hub refused.",
    "chappe_bridge_rejected_total": "Publications that the other system refused.",
    "chappe_bridge_dropped_total": "Publications that will never arrive there.",
    "chappe_bridge_gaps_total": "Times at which the history no longer had all that was to be sent.",
    "chappe_bridge_looped_total": "Messages that came back and were left out.",
    "chappe_bridge_waiting": "Publications that wait for the other system, or for its confirmation.",
    "chappe_bridge_waiting_bytes": "Their bytes.",
}


def hub_metrics(hub: HubCore) -> dict[str, float]:
    """Return the counters of the hub by metric name."""
    metrics: dict[str, float] = {f"chappe_{name}_total": total for name, total in hub.counters.totals().items()}
    metrics["chappe_permission_denied_total"] = hub.permissions.refused
    metrics["chappe_locks"] = len(hub.locking.grants(hub.clock.now()))
    for code, count in sorted(hub.counters.errors.items()):
        metrics[labelled("chappe_errors_total", code=str(code))] = count
    for limit, count in sorted(hub.counters.excesses.items()):
        metrics[labelled("chappe_rate_limited_total", limit=limit)] = count
    metrics["chappe_unauthenticated"] = hub.strangers.taken
    for status in (each.status() for each in hub.bridges):
        named = {"bridge": status.name, "kind": status.kind}
        metrics[labelled("chappe_bridge_connected", **named)] = status.state == "connected"
        for name, count in status.counts.items():
            suffix = "" if name.startswith("waiting") else "_total"
            metrics[labelled(f"chappe_bridge_{name}{suffix}", **named)] = count
    metrics["chappe_recovery_cache_bytes"] = hub.recovery.kept_bytes
    metrics["chappe_recovery_cache_channels"] = len(hub.recovery)
    if isinstance(hub.broker, CountingBroker):
        metrics |= hub.broker.metrics()
    return metrics


def metrics_page(hub: HubCore, above: Mapping[str, float]) -> bytes:
    """Return the page: the hub's counters, then those of the parts above it."""
    return render_metrics({**hub_metrics(hub), **above}, _TEXTS)
