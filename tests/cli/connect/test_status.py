"""The state line says phase, address, latency and counts."""

from chappe.cli.connect.status import Status


def test_it_shows_what_is_known() -> None:
    status = Status("ws://h/")
    assert status.line() == "connecting | ws://h/ | sent 0 | received 0"
    status.phase, status.latency_ms, status.sent, status.received = "online", 0.42, 3, 7
    assert status.line() == "connected | ws://h/ | 0.4 ms | sent 3 | received 7"


def test_while_waiting_it_counts_attempts_and_hides_the_old_latency() -> None:
    status = Status("ws://h/")
    status.phase, status.latency_ms, status.n, status.of = "waiting", 0.42, 2, 10
    assert status.line().startswith("reconnecting 2/10 | ws://h/ | sent")
    status.of = 0
    assert status.line().startswith("reconnecting 2/∞ |")
