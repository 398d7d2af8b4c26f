from __future__ import annotations

from chappe.hub.mqtt import MqttOptions
from chappe.hub.mqtt.retention import Retention, is_fleeting
from chappe.hub.namespaces import Level, Namespace, Namespaces
from chappe.protocols.mqtt.filters import Filter

KEPT = Namespace(name="default", level=Level.RECOVERABLE, history_count=3, history_age_s=60.0)
LIVE = Namespace(name="live")
CURSOR = Namespace(name="cursor", level=Level.RECOVERABLE, ephemeral=True)
OPTIONS = MqttOptions(session_queue_messages=50, session_expiry_max_s=900)


def retention() -> Retention:
    return Retention(Namespaces([KEPT, LIVE, CURSOR]), OPTIONS)


def test_only_channels_that_a_session_needs_are_kept_longer() -> None:
    kept = retention()
    assert kept.of("a/b", KEPT) is KEPT
    assert kept.need("client", [Filter("a/#", "a/#", qos=1), Filter("c", "c")])
    wide = kept.of("a/b", KEPT)
    assert (wide.history_count, wide.history_age_s, wide.level) == (50, 900.0, Level.RECOVERABLE)
    # The same object again: a broker looks at options anew when they change.
    assert kept.of("a/other", KEPT) is wide
    assert kept.of("c", KEPT) is KEPT


def test_a_need_ends_with_its_last_session() -> None:
    kept = retention()
    for client in ("one", "two"):
        assert kept.need(client, [Filter("a", "a", qos=1)])
    assert not kept.need("one", [Filter("a", "a", qos=2)])
    kept.need("one", ())
    assert kept.of("a", KEPT) is not KEPT
    kept.need("two", ())
    assert kept.of("a", KEPT) is KEPT
    assert not kept.needs_of("two")


def test_nothing_is_kept_where_nothing_is_kept() -> None:
    kept = retention()
    kept.need("client", [Filter("#", "#", qos=1)])
    assert kept.of("live/a", LIVE) is LIVE
    assert kept.of("cursor/a", CURSOR) is CURSOR
    assert is_fleeting(LIVE)
    assert is_fleeting(CURSOR)
    assert not is_fleeting(KEPT)


def test_many_channels_are_forgotten_together() -> None:
    kept = retention()
    kept.need("client", [Filter("a/#", "a/#", qos=1)])
    for number in range(9_000):
        kept.of(f"a/{number}", KEPT)
    assert len(kept._known) <= 8_192
