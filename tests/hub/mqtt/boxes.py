"""Hubs with MQTT clients on one engine, in one process, with one clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from chappe.hub.cluster.nodes import BEAT_S, NODE_TTL_S
from chappe.hub.contracts import Broker
from chappe.hub.mqtt import MqttOptions
from chappe.hub.mqtt.groups import AUDIT_S
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel
from chappe.testing.fake_clock import FakeClock
from chappe.testing.shared_memory import SharedMemory
from tests.hub.mqtt.rig import Box, Device

#: After so many seconds without a word everybody takes a node for gone, and has asked after what is overdue.
GONE_S = NODE_TTL_S + 2 * BEAT_S + 2 * AUDIT_S

SHARED = "$share/crew/jobs/#"


class Boxes:
    """The nodes of one cluster."""

    def __init__(
        self,
        count: int = 2,
        options: MqttOptions | None = None,
        wrap: Callable[[Broker], Broker] = lambda broker: broker,
    ) -> None:
        self.options = options
        self._wrap = wrap
        self.clock = FakeClock()
        self.engine = SharedMemory(self.clock, Random(7).randbytes)
        self.boxes: list[Box] = []
        for _ in range(count):
            self.add()

    def add(self) -> Box:
        """Start one more node; it knows the others when this returns."""
        box = self.start()
        self.pass_time(1.0)
        return box

    def start(self) -> Box:
        """Start one more node."""
        number = len(self.boxes) + 1
        node = f"node000{number}"

        def wrap(broker: Broker) -> Broker:
            return self._wrap(self.engine.broker())

        box = Box(clock=self.clock, wrap=wrap, node=node, seed=number, options=self.options)
        self.boxes.append(box)
        return box

    def __getitem__(self, number: int) -> Box:
        return self.boxes[number]

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, so that everything in between happens."""
        for _ in range(max(1, int(seconds * 2))):
            self.clock.advance(0.5)

    def kill(self, number: int) -> None:
        """End a node without a word; nothing that its clients say or get counts from here on."""
        self.engine.nodes[number].cut()

    def stop(self, number: int) -> None:
        """End a node in good order: its sessions are told to come back elsewhere."""
        box = self.boxes[number]
        box.hub.shutdown(tuple(box.hub.sessions.values()))
        box.settle()
        assert box.hub.cluster is not None
        box.hub.cluster.stop()
        self.clock.advance(0.5)

    def metric(self, name: str) -> float:
        """Return the sum of a counter over all nodes."""
        return sum(box.service.metrics()[name] for box in self.boxes)


def member(box: Box, client_id: str, name: str, qos: int = 1, **options: Any) -> Device:
    """Connect a client and let it be a member of a group."""
    device = box.joined(client_id, **options)
    assert device.subscribe(name, qos=qos) == [qos]
    return device


def post(device: Device, *packets: Packet) -> None:
    """Send packets, and wait for nothing."""
    device.line.last_heard = device.box.clock.now()
    device.mqtt.receive(b"".join(encode(each, device.version) for each in packets), False)


def answer(device: Device) -> list[Publish]:
    """Take what came and acknowledge it, and wait for nothing."""
    found = []
    for each in device.take():
        if isinstance(each, Publish):
            found.append(each)
            if each.qos:
                post(device, Puback(each.packet_id) if each.qos == 1 else Pubrec(each.packet_id))
        elif isinstance(each, Pubrel):
            post(device, Pubcomp(each.packet_id))
    return found


def publish(box: Box, count: int, *, first: int = 0, qos: int = 2) -> list[bytes]:
    """Publish numbers to a few channels; return them."""
    writer = box.joined(f"writer{first}")
    payloads = [str(number).encode() for number in range(first, first + count)]
    for number, payload in enumerate(payloads):
        writer.publish(f"jobs/{number % 3}", payload, qos)
    return payloads


def came(*members: Device) -> Counter[bytes]:
    """Take and acknowledge everything until nothing more comes; return how often each came."""
    found: Counter[bytes] = Counter()
    while True:
        new = [each.payload for device in members for each in device.messages()]
        if not new:
            return found
        found.update(new)
        members[0].box.settle()


def once(payloads: list[bytes]) -> Counter[bytes]:
    """Return how often each should come."""
    return Counter(payloads)
