"""`$SYS`: what is told, how often, and to whom."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chappe.hub.contracts import Claims
from chappe.hub.mqtt import MqttOptions
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Connect
from tests.hub.mqtt.rig import Box, Device

OPERATOR = Claims(user="root", scopes=frozenset({"operator"}))
UPTIME = "$SYS/broker/uptime"


def told(interval_s: float = 10.0, **options: Any) -> Box:
    return Box(options=MqttOptions(sys_interval_s=interval_s), **options)


def operator(box: Box, client_id: str = "root") -> Device:
    """Connect somebody with the scope `operator`."""
    device = Device(box)
    session = device.mqtt.session
    session.peer = replace(session.peer, claims=OPERATOR)
    device.send(Connect(client_id))
    assert [each.reason_code for each in device.take() if isinstance(each, packets.Connack)] == [0]
    return device


def later(box: Box, seconds: float) -> None:
    """Let time pass."""
    box.clock.advance(seconds)
    box.settle()


def refuse(actor: Any, command: Any, done: Any) -> None:
    """Answer as a hub whose broker is gone."""
    done(None, ChappeError(Code.NOT_AVAILABLE))


def found(device: Device) -> dict[str, bytes]:
    """Return the values that came, by their names below `$SYS/broker/`."""
    return {each.topic.removeprefix("$SYS/broker/"): each.payload for each in device.messages()}


def test_all_values_wait_for_an_operator_who_subscribes() -> None:
    box = told()
    box.joined("lamp").subscribe("house/#", "state/lamp")
    root = operator(box)
    assert root.subscribe("$SYS/#", qos=1) == [0]
    values = found(root)
    assert values["uptime"].endswith(b" seconds")
    assert values["version"].startswith(b"chappe version")
    assert {name.partition("/")[0] for name in values} == {
        "version", "uptime", "clients", "messages", "publish", "subscriptions", "retained messages", "bytes", "load",
    }  # fmt: skip


def test_values_come_again_when_they_changed() -> None:
    box = told()
    lamp = box.joined("lamp")
    lamp.subscribe("house/#", "state/lamp")
    root = operator(box)
    root.subscribe("$SYS/#")
    root.take()
    later(box, 10.0)
    values = found(root)
    assert values["uptime"] != b"0 seconds"
    assert values["clients/connected"] == values["clients/total"] == b"2"
    assert values["subscriptions/count"] == b"3"
    assert "version" not in values
    later(box, 5.0)
    assert not found(root)
    lamp.goodbye()
    later(box, 10.0)
    assert found(root)["clients/connected"] == b"1"


def test_a_session_without_a_connection_is_counted_apart() -> None:
    box = told()
    lamp = box.joined("lamp", expiry_s=60)
    lamp.subscribe("state/lamp", qos=1)
    lamp.cut()
    values = box.service.system.values()
    assert (values["clients/connected"], values["clients/disconnected"], values["clients/total"]) == (0, 1, 1)
    assert values["subscriptions/count"] == 1


def test_rates_are_averages_over_a_minute() -> None:
    box = told(60.0)
    lamp = box.joined("lamp")
    for _ in range(100):
        lamp.publish("open/a")
    later(box, 60.0)
    rate = box.service.system.values()["load/publish/messages/received/1min"]
    # 1 - 1/e of them, and of what the hub said itself.
    assert isinstance(rate, float)
    assert 63 < rate < 90
    later(box, 60.0)
    after = box.service.system.values()["load/publish/messages/received/1min"]
    assert isinstance(after, float)
    assert after < rate


def test_who_is_no_operator_reads_nothing_and_no_pattern_brings_it() -> None:
    box = told()
    lamp = box.joined("lamp")
    assert lamp.subscribe(UPTIME, "$SYS/#") == [0x87, 0x87]
    root = operator(box)
    assert root.subscribe("open/#", "+/broker/uptime", "#")[0] == 0
    later(box, 30.0)
    assert not found(lamp)
    assert not found(root)


@pytest.mark.parametrize("topic", [UPTIME, "$SYS/broker/of/my/own", "$SYS"])
def test_nobody_but_the_hub_publishes_there(topic: str) -> None:
    box = told()
    for device in (box.joined("lamp"), operator(box)):
        (answer,) = device.publish(topic, b"forged", 1)
        assert isinstance(answer, packets.Puback)
        assert answer.reason_code == 0x87
    device = box.device("will", will=packets.Will(topic, b"forged"))
    assert box.connack(device).reason_code == 0x87
    root = operator(box, "other")
    root.subscribe("$SYS/#")
    assert b"forged" not in found(root).values()


def test_an_interval_of_0_says_nothing() -> None:
    box = told(0.0)
    root = operator(box)
    assert root.subscribe("$SYS/#") == [0]
    later(box, 60.0)
    assert not root.messages()


def test_a_hub_that_stopped_says_nothing_and_one_that_starts_again_begins_anew() -> None:
    box = told()
    root = operator(box)
    root.subscribe(UPTIME)
    root.take()
    box.service.system.stop()
    later(box, 30.0)
    assert not root.messages()
    box.service.system.start()
    box.joined("lamp")
    assert found(root) == {"uptime": b"0 seconds"}


def test_a_value_that_found_no_broker_is_said_at_the_next_turn() -> None:
    box = told()
    root = operator(box)
    root.subscribe("$SYS/broker/version")
    assert [each.topic for each in root.messages()] == ["$SYS/broker/version"]
    box.service.system.start()
    box.hub.publish, publish = refuse, box.hub.publish  # type: ignore[method-assign]
    box.joined("lamp")
    assert not root.messages()
    box.hub.publish = publish  # type: ignore[method-assign]
    later(box, 10.0)
    assert [each.topic for each in root.messages()] == ["$SYS/broker/version"]


def test_on_a_shared_broker_each_node_tells_its_own_clients_and_keeps_nothing() -> None:
    box = told()
    root = operator(box)
    root.subscribe(UPTIME)
    root.take()
    said = box.memory.sequence
    box.service.system.start()
    box.memory.shared = True
    box.joined("lamp")
    (message,) = root.messages()
    assert (message.payload, message.retain) == (b"0 seconds", False)
    assert box.memory.sequence == said
