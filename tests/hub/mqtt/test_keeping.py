"""Sessions on several nodes: where a client comes to, its session comes to."""

from __future__ import annotations

from random import Random

import pytest

from chappe.hub.mqtt.records import channel_of
from chappe.model.publication import Kind
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Publish, Will, WillProperties
from chappe.protocols.mqtt.reason_codes import ReasonCode
from chappe.testing.fake_clock import FakeClock
from chappe.testing.shared_memory import SharedMemory
from tests.hub.cluster.rig import GONE_S
from tests.hub.harness import namespace
from tests.hub.mqtt.rig import Box, Device


class Fleet:
    """Two hubs with MQTT on one engine."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.engine = SharedMemory(self.clock, Random(7).randbytes)
        self.boxes: list[Box] = []
        for _ in range(2):
            self.add()

    def add(self) -> Box:
        number = len(self.boxes) + 1
        box = Box(
            clock=self.clock,
            wrap=lambda _: self.engine.broker(),
            node=f"node000{number}",
            seed=number,
            namespaces=[namespace("default")],
        )
        self.boxes.append(box)
        self.clock.advance(0.1)
        return box

    def kill(self, number: int) -> None:
        self.engine.nodes[number].cut()

    def beat(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1.0)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def patient(box: Box, client_id: str, **options: object) -> tuple[Device, packets.Connack]:
    """Connect, and wait as long as another node may take."""
    device = box.device(client_id, clean=False, expiry_s=1_000, **options)  # type: ignore[arg-type]
    box.clock.advance(6.0)
    connack = box.connack(device)
    device.line.packets.remove(connack)
    return device, connack


def test_a_session_moves_to_the_node_that_its_client_comes_to(fleet: Fleet) -> None:
    one, two = fleet.boxes
    device = one.joined("r", expiry_s=1_000)
    device.subscribe("a", qos=2)
    two.joined("w").publish("a", b"1", 2)
    fleet.clock.advance(0.1)
    (sent,) = [each for each in device.take() if isinstance(each, Publish)]
    again, connack = patient(two, "r")
    assert connack.session_present
    assert device.line.packets[-1].reason_code == ReasonCode.SESSION_TAKEN_OVER  # type: ignore[union-attr]
    repeated, *_ = again.take()
    assert isinstance(repeated, Publish)
    assert (repeated.packet_id, repeated.payload, repeated.dup) == (sent.packet_id, b"1", True)
    assert (len(one.service.sessions.away), len(one.service.sessions.live)) == (0, 0)


def test_a_session_that_waits_on_one_node_is_found_by_another(fleet: Fleet) -> None:
    one, two = fleet.boxes
    device = one.joined("r", expiry_s=1_000)
    device.subscribe("a", "b/+", qos=1)
    device.cut()
    two.joined("w").publish("b/c", b"missed", 1)
    fleet.clock.advance(0.1)
    again, connack = patient(two, "r")
    assert connack.session_present
    assert again.payloads() == [b"missed"]


def test_all_nodes_keep_what_a_session_of_one_needs(fleet: Fleet) -> None:
    one, two = fleet.boxes
    one.joined("r", expiry_s=1_000).subscribe("a", qos=1)
    fleet.clock.advance(0.1)
    assert two.service.retention.needs_of("r") == {"a"}
    three = fleet.add()
    fleet.clock.advance(0.1)
    assert three.service.retention.needs_of("r") == {"a"}


def test_a_session_of_a_node_that_died_is_looked_after_by_another(fleet: Fleet) -> None:
    one, two = fleet.boxes
    device = one.joined("r", expiry_s=1_000, will=Will("will", b"gone", 1))
    device.subscribe("a", qos=1)
    watcher = two.joined("watcher")
    watcher.subscribe("will", qos=1)
    fleet.clock.advance(1.5)
    fleet.kill(0)
    fleet.beat(GONE_S)
    assert set(two.service.sessions.away) == {"r"}
    fleet.beat(15)
    assert watcher.payloads() == [b"gone"]
    two.joined("w").publish("a", b"missed", 1)
    again, connack = patient(two, "r")
    assert connack.session_present
    assert again.payloads() == [b"missed"]


def test_a_delayed_will_of_a_node_that_died_is_said_once(fleet: Fleet) -> None:
    one, two = fleet.boxes
    three = fleet.add()
    watcher = two.joined("watcher")
    watcher.subscribe("will", qos=1)
    device = one.joined("r", expiry_s=1_000, will=Will("will", b"gone", 1, properties=WillProperties(will_delay_s=60)))
    fleet.clock.advance(1.5)
    device.mqtt.lost(1006)
    fleet.clock.advance(0.1)
    fleet.kill(0)
    fleet.beat(GONE_S)
    assert len(two.service.sessions.away) + len(three.service.sessions.away) == 1
    fleet.beat(60)
    assert watcher.payloads() == [b"gone"]


def test_the_same_client_without_a_session_ends_its_older_connection_on_another_node(fleet: Fleet) -> None:
    one, two = fleet.boxes
    device = one.joined("r")
    two.device("r")
    fleet.clock.advance(1.0)
    assert device.line.packets[-1].reason_code == ReasonCode.SESSION_TAKEN_OVER  # type: ignore[union-attr]


def test_another_identity_does_not_get_a_session_of_another_node(fleet: Fleet) -> None:
    one, two = fleet.boxes
    one.joined("r", expiry_s=1_000, user_name="Ada").subscribe("a", qos=1)
    fleet.clock.advance(0.5)
    _, connack = patient(two, "r", user_name="Bob")
    assert connack.reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID


def test_without_the_engine_a_client_is_told_to_come_back(fleet: Fleet) -> None:
    one, _ = fleet.boxes
    fleet.kill(0)
    _, connack = patient(one, "r")
    assert connack.reason_code == ReasonCode.SERVER_UNAVAILABLE


def test_a_record_that_nobody_understands_is_none(fleet: Fleet) -> None:
    one, _ = fleet.boxes
    one.append("x")
    from chappe.hub.contracts import Append
    from chappe.hub.mqtt.records import namespace_of_records

    entry = Append(channel_of("r"), b"\xc1", Kind.BINARY, 0, namespace_of_records(False), retain=True)
    fleet.engine.inner.append([entry], lambda outcomes: None)
    _, connack = patient(one, "r")
    assert (connack.reason_code, connack.session_present) == (0, False)
    assert one.service.metrics()["chappe_mqtt_records_unread_total"] == 1
