"""What goes out to clients (MQTT 5, 3.3, 4.3, 4.4, 4.6, 4.9): ids, repetition, limits, order, what is passed on."""

from typing import Any

import pytest

from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import (
    Puback,
    Pubcomp,
    Publish,
    PublishProperties,
    Pubrec,
    Pubrel,
    Version,
)
from tests.conformance.mqtt.peer import BOTH, V5, Peer, Stage, alone, serving

EACH = pytest.mark.parametrize("version", BOTH)


def payloads(messages: list[Publish]) -> list[bytes]:
    return [each.payload for each in messages]


async def keep(stage: Stage, version: Version, client_id: str = "c", **fields: Any) -> Peer:
    """Connect with a session that outlives its connection."""
    expiry = {"session_expiry_s": 600} if version is V5 else {}
    return await stage.connect(version, client_id, clean_start=False, **expiry, **fields)


async def two_seconds(stage: Stage) -> None:
    """Wait until the hub says a will that has so long a delay."""
    watcher = await stage.connect(V5, "watcher")
    await watcher.subscribe("over")
    will = packets.Will("over", b"", properties=packets.WillProperties(will_delay_s=2))
    clock = await stage.connect(V5, "clock", session_expiry_s=9, will=will)
    await clock.drop()
    await watcher.expect(Publish)


@EACH
async def test_every_message_has_an_id_of_its_own_and_no_dup(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await stage.connect(version, "c")
        await peer.subscribe("a", qos=2)
        for number in range(10):
            await other.publish("a", b"%d" % number, 1 + number % 2)
        messages = await peer.messages()
        ids = [each.packet_id for each in messages]
        assert len(set(ids)) == 10
        assert 0 not in ids
        assert not any(each.dup for each in messages)


@EACH
async def test_a_message_of_qos_2_goes_out_in_four_steps(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await stage.connect(version, "c")
        await peer.subscribe("a", qos=2)
        await other.publish("a", b"x", 2)
        [message] = await peer.messages()
        peer.send(Pubrec(message.packet_id))
        assert await peer.expect(Pubrel) == Pubrel(message.packet_id)
        peer.send(Pubcomp(message.packet_id))
        assert await peer.sync() == []


@EACH
async def test_what_is_unacknowledged_is_sent_again_at_the_next_connection_and_not_before(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await keep(stage, version)
        await peer.subscribe("a", qos=2)
        for number in range(6):
            await other.publish("a", b"%d" % number, 1 + number % 2)
        first = await peer.messages()
        # Nothing is sent again while the connection lives.
        assert await peer.messages() == []
        peer.send(Puback(first[0].packet_id))
        await peer.sync()
        await peer.drop()
        again = await keep(stage, version)
        assert again.connack.session_present
        repeated = await again.messages()
        assert [(each.packet_id, each.payload, each.qos) for each in repeated] == [
            (each.packet_id, each.payload, each.qos) for each in first[1:]
        ]
        assert all(each.dup for each in repeated)


@EACH
async def test_pubrel_is_sent_again_and_its_message_is_not(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await keep(stage, version)
        await peer.subscribe("a", qos=2)
        await other.publish("a", b"x", 2)
        [message] = await peer.messages()
        peer.send(Pubrec(message.packet_id))
        assert (await peer.expect(Pubrel)).packet_id == message.packet_id
        await peer.drop()
        again = await keep(stage, version)
        assert [type(each) for each in await again.sync()] == [Pubrel]
        again.send(Pubcomp(message.packet_id))
        assert await again.sync() == []
        await again.drop()
        last = await keep(stage, version)
        assert await last.sync() == []


@EACH
async def test_messages_of_qos_1_and_2_wait_for_a_client_that_is_away(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await keep(stage, version)
        await peer.subscribe("a", qos=2)
        await peer.leave()
        for qos in (1, 2, 1, 2):
            await other.publish("a", b"qos %d" % qos, qos)
        again = await keep(stage, version)
        messages = await again.messages()
        assert [(each.payload, each.qos, each.dup) for each in messages] == [
            (b"qos 1", 1, False),
            (b"qos 2", 2, False),
            (b"qos 1", 1, False),
            (b"qos 2", 2, False),
        ]


async def test_a_failed_acknowledgement_is_one_all_the_same() -> None:
    async with alone(V5) as (stage, other):
        peer = await keep(stage, V5)
        await peer.subscribe("a", qos=2)
        await other.publish("a", b"1", 1)
        await other.publish("a", b"2", 2)
        one, two = await peer.messages()
        peer.send(Puback(one.packet_id, 0x97), Pubrec(two.packet_id, 0x83))
        assert await peer.sync() == []
        await peer.drop()
        again = await keep(stage, V5)
        assert await again.sync() == []


@EACH
async def test_messages_of_one_client_to_one_topic_keep_their_order(version: Version) -> None:
    async with alone(version) as (stage, other):
        reader = await stage.connect(version, "c")
        await reader.subscribe("a", qos=2)
        count = 60
        for first in range(0, count, 20):
            for number in range(first, first + 20):
                qos = number % 2
                other.send(Publish("a", b"%d" % number, qos, packet_id=qos * (number + 1)))
            for _ in range(10):
                await other.expect(Puback)
        came: list[int] = []
        while len(came) < count:
            for message in await reader.messages():
                came.append(int(message.payload))
                if message.qos:
                    reader.send(Puback(message.packet_id))
        for remainder in (0, 1):
            assert [each for each in came if each % 2 == remainder] == list(range(remainder, count, 2))


async def test_what_goes_with_a_message_is_passed_on_unaltered() -> None:
    async with alone(V5) as (stage, other):
        reader = await stage.connect(V5, "c")
        await reader.subscribe("a", qos=1)
        said = PublishProperties(
            payload_format=1,
            response_topic="re/ply",
            correlation_data=b"\0\xff",
            user_properties=(("b", "1"), ("a", "2"), ("b", "3"), ("content-type", "mine"), ("", "")),
            content_type="application/x-é",
        )
        await other.publish("a", "é".encode(), 1, properties=said)
        await other.publish("a", b"", 1, properties=PublishProperties(user_properties=(("k", "v"),)))
        full, small = await reader.messages()
        assert full.properties == said
        assert small.properties.user_properties == (("k", "v"),)
        assert (small.properties.response_topic, small.properties.correlation_data) == (None, None)


@pytest.mark.slow
async def test_a_message_that_expired_is_not_delivered_and_another_tells_what_is_left() -> None:
    async with alone(V5) as (stage, other):
        peer = await keep(stage, V5)
        await peer.subscribe("a", qos=1)
        await peer.leave()
        for payload, expiry_s in ((b"brief", 1), (b"long", 100), (b"for ever", None)):
            await other.publish("a", payload, 1, properties=PublishProperties(message_expiry_s=expiry_s))
        await two_seconds(stage)
        again = await keep(stage, V5)
        messages = await again.messages()
        assert payloads(messages) == [b"long", b"for ever"]
        left = messages[0].properties.message_expiry_s
        assert left is not None
        assert 80 <= left <= 98
        assert messages[1].properties.message_expiry_s is None


@pytest.mark.slow
async def test_what_was_sent_does_not_expire() -> None:
    async with alone(V5) as (stage, other):
        peer = await keep(stage, V5)
        await peer.subscribe("a", qos=2)
        await other.publish("a", b"x", 2, properties=PublishProperties(message_expiry_s=1))
        [message] = await peer.messages()
        await peer.drop()
        await two_seconds(stage)
        again = await keep(stage, V5)
        repeated = await again.expect(Publish)
        assert (repeated.packet_id, repeated.dup) == (message.packet_id, True)
        again.send(Pubrec(repeated.packet_id))
        assert (await again.expect(Pubrel)).packet_id == message.packet_id


async def test_no_more_than_the_receive_maximum_are_under_way_and_others_go_on() -> None:
    async with alone(V5) as (stage, other):
        peer = await stage.connect(V5, "c", receive_maximum=2)
        await peer.subscribe("a", qos=2)
        for number in range(5):
            await other.publish("a", b"%d" % number, 1 + number % 2)
        one, two = await peer.messages()
        # QoS 0, answers and pings do not wait.
        await peer.subscribe("b", qos=0)
        await other.publish("b", b"free", 0)
        assert payloads(await peer.messages()) == [b"free"]
        peer.send(Puback(one.packet_id))
        [three] = await peer.messages()
        peer.send(Pubrec(two.packet_id))
        assert [type(each) for each in await peer.sync()] == [Pubrel]
        peer.send(Pubcomp(two.packet_id))
        [four] = await peer.messages()
        peer.send(Puback(three.packet_id), Pubrec(four.packet_id, 0x83))
        [five] = await peer.messages()
        assert payloads([one, two, three, four, five]) == [b"0", b"1", b"2", b"3", b"4"]


async def test_what_is_larger_than_a_client_takes_counts_as_delivered() -> None:
    async with alone(V5) as (stage, other):
        peer = await keep(stage, V5, maximum_packet_bytes=200)
        wide = await stage.connect(V5, "wide")
        for each in (peer, wide):
            await each.subscribe("a", qos=1)
        for payload in (b"1", b"x" * 300, b"2"):
            await other.publish("a", payload, 1)
        messages = await peer.messages()
        assert payloads(messages) == [b"1", b"2"]
        assert payloads(await wide.messages()) == [b"1", b"x" * 300, b"2"]
        peer.send(*(Puback(each.packet_id) for each in messages))
        await peer.sync()
        await peer.drop()
        again = await keep(stage, V5)
        assert await again.sync() == []


async def test_aliases_go_up_to_what_a_client_takes() -> None:
    async with alone(V5) as (stage, other):
        peer = await stage.connect(V5, "c", topic_alias_maximum=2)
        await peer.subscribe("#")
        topics = ["a", "b", "c", "a", "b", "c"]
        for topic in topics:
            await other.publish(topic)
        names: dict[int, str] = {}
        came: list[str] = []
        for message in await peer.messages():
            alias = message.properties.topic_alias
            assert alias is None or alias <= 2
            if alias is not None and message.topic:
                names[alias] = message.topic
            came.append(message.topic or names[alias or 0])
        assert came == topics
        assert len(names) == 2
        none = await stage.connect(V5, "none")
        await none.subscribe("#")
        await other.publish("a")
        assert [each.properties.topic_alias for each in await none.messages()] == [None]


@pytest.mark.parametrize("wanted", [None, False])
async def test_no_reason_strings_come_to_a_client_that_wants_none(wanted: bool | None) -> None:
    async with serving() as stage:
        peer = await stage.connect(V5, "c", request_problem_information=wanted)
        peer.send(Publish("$no/such", b"", 1, packet_id=1), packets.Unsubscribe(2, ("nothing",)))
        for packet in (await peer.expect(Puback), await peer.expect(packets.Unsuback)):
            assert packet.properties.reason_string is None
            assert packet.properties.user_properties == ()


@EACH
async def test_a_client_that_is_slow_to_acknowledge_gets_the_rest_later(version: Version) -> None:
    async with serving(inflight_messages=3) as stage:
        other = await stage.connect(version, "o")
        peer = await stage.connect(version, "c")
        await peer.subscribe("a", qos=1)
        for number in range(8):
            await other.publish("a", b"%d" % number, 1)
        came: list[bytes] = []
        while len(came) < 8:
            messages = await peer.messages()
            assert 0 < len(messages) <= 3
            came += payloads(messages)
            peer.send(*(Puback(each.packet_id) for each in messages))
        assert came == [b"%d" % number for number in range(8)]
