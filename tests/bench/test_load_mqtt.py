"""The generator speaks MQTT: it counts what came, what was acknowledged, and what a broker did wrong."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.bench.load import Load, LoadError, Problem, Result, run

from .serving import QUICK
from .serving_mqtt import Broker, brokering

pytestmark = pytest.mark.slow

FANOUT: dict[str, Any] = {"mode": "fanout", "mqtt": 4, "topic": "t", "first": ("t",)}
PAIRS: dict[str, Any] = {"mode": "pairs", "mqtt": 4, "topic": "t/%i", "first": ("t/%i",), "connections": 4}


def measured(broker: Broker, load: dict[str, Any], **wanted: Any) -> Result:
    """Run a short load."""
    return run(Load(port=broker.server_address[1], **{**QUICK, **load, **wanted}))


@pytest.mark.parametrize("load", [FANOUT, PAIRS, {**FANOUT, "mode": "burst"}], ids=["fanout", "pairs", "burst"])
@pytest.mark.parametrize("qos", [0, 1])
def test_each_delivery_is_counted_and_none_is_lost(load: dict[str, Any], qos: int) -> None:
    with brokering() as broker:
        result = measured(broker, load, qos=qos, inflight=4, payload_bytes=300)
    assert result.opened == load.get("connections", 3)
    assert result.deliveries > 3
    assert (result.lost, result.repeated, result.closed) == (0, 0, 0)
    assert 0 < result.p50_us <= result.p99_us <= result.max_us
    assert (broker.acknowledged > 0) is (qos == 1)


def test_in_pairs_a_message_goes_to_one() -> None:
    with brokering() as broker:
        result = measured(broker, PAIRS, inflight=2)
    assert sorted(broker.subscribers) == [b"t/0", b"t/2"]
    assert result.deliveries <= result.sent + 4


def test_connect_says_who_it_is_and_for_how_long_it_may_be_silent() -> None:
    with brokering() as broker:
        measured(broker, FANOUT, mode="connect", connections=1, user="ada", password="secret", keep_alive_s=300)
    assert broker.connects == [b"\0\4MQTT\4\xc2\x01\x2c\0\x08bench2-0\0\3ada\0\6secret"]


def test_a_delivery_that_is_swallowed_is_told_as_lost() -> None:
    with brokering(copies=lambda number, subscriber: 0 if (number, subscriber) == (5, 1) else 1) as broker:
        result = measured(broker, FANOUT, rate=100.0)
    assert (result.lost, result.repeated) == (1, 0)


def test_a_delivery_that_comes_twice_is_told() -> None:
    with brokering(copies=lambda number, subscriber: 2 if (number, subscriber) == (5, 1) else 1) as broker:
        result = measured(broker, FANOUT, rate=100.0)
    assert (result.lost, result.repeated) == (0, 1)


def test_what_is_swallowed_between_two_is_lost_as_well() -> None:
    with brokering(copies=lambda number, subscriber: int(number != 3)) as broker:
        result = measured(broker, PAIRS, connections=2, inflight=2)
    assert (result.lost, result.repeated) == (1, 0)
    assert result.deliveries > 3


@pytest.mark.parametrize("load", [FANOUT, PAIRS], ids=["fanout", "pairs"])
def test_an_acknowledgement_that_does_not_come_is_lost(load: dict[str, Any]) -> None:
    with brokering(puback=lambda number, packet_id: b"") as broker:
        result = measured(broker, load, qos=1, connections=2)
    assert (result.lost, result.repeated) == (1, 0)


def test_an_acknowledgement_of_something_else_is_told() -> None:
    with brokering(puback=lambda number, packet_id: b"\x40\x02\xff\xff") as broker:
        result = measured(broker, PAIRS, qos=1, connections=2)
    assert (result.lost, result.repeated) == (1, 1)


def test_pings_are_sent_in_time_and_their_answers_expected() -> None:
    with brokering() as broker:
        assert measured(broker, FANOUT, mode="idle", keep_alive_s=1, seconds=0.8).lost == 0
    with brokering(pingresp=b"") as broker:
        assert 3 <= measured(broker, FANOUT, mode="idle", keep_alive_s=1, seconds=0.8).lost <= 4


def test_an_answer_to_no_ping_is_told() -> None:
    with brokering(pingresp=b"\xd0\x00\xd0\x00") as broker:
        result = measured(broker, FANOUT, mode="idle", connections=1, keep_alive_s=1, seconds=1.0)
    assert result.repeated >= 1


def test_a_client_that_is_sent_away_is_counted_with_the_reason_and_the_others_go_on() -> None:
    with brokering(goodbye=lambda number: b"\xe0\x01\x8d" if number == 5 else b"") as broker:
        result = measured(broker, PAIRS)
    assert (result.closed, result.close_code) == (1, 0x8D)
    assert result.sent > 5


@pytest.mark.parametrize(
    ("manners", "reason"),
    [
        ({"connack": b"\x20\x02\x00\x05"}, "CONNACK with code 5"),
        ({"connack": b"\xd0\x00"}, "no CONNACK"),
        ({"connack": b"\x20\xff\xff\xff\xff\x01"}, "no packet of MQTT"),
        ({"suback": b"\x90\x03\x00\x01\x80"}, "SUBACK with code 128"),
        ({"suback": b"\x90\x03\x00\x01\x00\x30\x02\x00\x09"}, "a malformed PUBLISH"),
    ],
)
def test_a_broker_that_refuses_or_speaks_something_else_is_told(manners: dict[str, Any], reason: str) -> None:
    with brokering(**manners) as broker, pytest.raises(LoadError) as caught:
        measured(broker, FANOUT, connections=1)
    assert (caught.value.problem, caught.value.reason) == (Problem.REFUSED, reason)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({**PAIRS, "connections": 3}, "pairs are of two connections each, got 3"),
        ({**PAIRS, "mqtt": 0}, "pairs, qos and keep_alive_s are of MQTT"),
        ({"mode": "echo", "mqtt": 4}, "MQTT is measured with fanout, burst, pairs, idle, connect, got echo"),
        ({**FANOUT, "deflate": True}, "MQTT is measured without sse, polls and deflate"),
    ],
)
def test_what_makes_no_sense_is_refused(wanted: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        run(Load(port=1, **wanted))
