from __future__ import annotations

from tests.hub.mqtt.rig import V5, Box


def test_everything_that_is_counted_is_told() -> None:
    box = Box()
    box.joined("a").subscribe("x")
    metrics = box.service.metrics()
    assert metrics["chappe_mqtt_clients"] == 1
    # CONNECT and SUBSCRIBE.
    assert metrics["chappe_mqtt_packets_in_total"] == 2
    assert all(name.startswith("chappe_mqtt_") for name in metrics)


def test_a_refusal_is_counted_by_its_reason() -> None:
    box = Box()
    box.joined("a", V5).feed(b"\xff")
    assert sum(box.service.refusals.values()) == 1
    assert box.service.metrics()["chappe_mqtt_refused_total"] == 1


def test_retained_messages_of_closed_namespaces_are_nobodys() -> None:
    box = Box()
    box.append("closed/a", 1, retain=True)
    box.append("open/a", 2, retain=True)
    device = box.joined("a")
    found: list[str] = []
    box.service.retained(device.mqtt, "+/a", lambda frames: found.extend(each.publication.channel for each in frames))
    box.settle()
    assert found == ["open/a"]
