"""What comes in is published, confirmed when it is stored, and refused for good or for now."""

from chappe.app import Hub
from chappe.bridges.mqtt.confirming import Arrival
from chappe.bridges.mqtt.incoming import Incoming
from chappe.bridges.mqtt.marks import MARK, Echoes
from chappe.bridges.mqtt.topics import parse
from chappe.hub.contracts import Append, Outcome
from chappe.model.error_codes import Code
from chappe.model.position import Position
from tests.bridges.mqtt.mosquitto import open_hub


class Gate:
    """A hub, and what came of messages."""

    def __init__(self, hub: Hub, echoes: Echoes | None = None) -> None:
        self.confirmed: list[Arrival] = []
        self.failed: list[Arrival] = []
        lines = parse(["a/# in 1", "both both 1"])
        self.incoming = Incoming(hub.core, lines, "own", echoes, self.confirmed.append, self.failed.append)


def message(topic: str, payload: bytes = b"1", *, retain: bool = False, **headers: str) -> Arrival:
    return Arrival(topic, payload, 1, retain, headers, 1, 1, 1)


async def test_a_message_is_published_with_its_headers_and_its_way() -> None:
    hub = open_hub()
    await hub.start()
    gate = Gate(hub)
    gate.incoming.arrived(message("a/x", b"21", unit="C"))
    (found,) = await hub.history("a/x")
    assert (found.as_value(), dict(found.headers or {})) == (21, {"unit": "C", MARK: "own"})
    assert len(gate.confirmed) == 1
    await hub.stop()


async def test_what_passed_here_before_or_belongs_nowhere_is_confirmed_and_left_out() -> None:
    hub = open_hub()
    await hub.start()
    gate = Gate(hub)
    gate.incoming.arrived(Arrival("a/x", b"1", 1, False, {MARK: "other,own"}, 1, 1, 1))
    gate.incoming.arrived(message("elsewhere"))
    assert gate.incoming.counts == {"looped": 1, "refused": 1}
    assert len(gate.confirmed) == 2
    assert await hub.history("a/x") == []
    await hub.stop()


async def test_what_can_never_be_published_is_confirmed_and_what_cannot_be_now_is_not() -> None:
    hub = open_hub()
    await hub.start()
    for echoes in (None, Echoes()):
        gate = Gate(hub, echoes)
        gate.incoming.arrived(message("a/" + "n" * 300))
        gate.incoming.arrived(message("a/x", b"x" * 100_000))
        assert gate.incoming.counts["refused"] == len(gate.confirmed) == 2
    gate = Gate(hub)
    append = hub.core.broker.append

    def refuse(batch: list[Append], done: object) -> None:
        done([Outcome(Code.NOT_AVAILABLE, Position("", 0)) for _ in batch])  # type: ignore[operator]

    hub.core.broker.append = refuse  # type: ignore[method-assign, assignment]
    gate.incoming.arrived(message("a/x"))
    hub.core.broker.append = append  # type: ignore[method-assign]
    assert (gate.confirmed, len(gate.failed)) == ([], 1)
    await hub.stop()


async def test_by_3_1_1_echoes_are_left_out_and_the_slot_decides_what_is_retained() -> None:
    hub = open_hub()
    await hub.start()
    echoes = Echoes()
    gate = Gate(hub, echoes)
    echoes.remember("both", b"ours", hub.core.clock.now())
    gate.incoming.arrived(message("both", b"ours"))
    gate.incoming.arrived(message("both", b"ours"))
    assert gate.incoming.counts == {"looped": 1, "received": 1}
    for payload, retain in ((b"1", True), (b"1", True), (b"2", False)):
        gate.incoming.arrived(message("a/x", payload, retain=retain))
    assert gate.incoming.counts["known"] == 1
    assert [each.as_value() for each in await hub.history("a/x")] == [1, 2]
    again = Gate(hub, Echoes())
    again.incoming.arrived(message("a/x", b"2", retain=True))
    assert again.incoming.counts == {"known": 1}
    await hub.stop()
