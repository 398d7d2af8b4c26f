"""What clients publish (MQTT 5, 3.3 to 3.7, 4.3): acknowledgements, repetitions, aliases, retained messages."""

import pytest

from chappe.hub.namespaces import Access
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import (
    Disconnect,
    Puback,
    Pubcomp,
    Publish,
    PublishProperties,
    Pubrec,
    Pubrel,
    SubscribeFilter,
    Version,
)
from chappe.testing import Faults
from tests.conformance.mqtt.peer import BOTH, V3, V5, Peer, alone, namespace, serving

EACH = pytest.mark.parametrize("version", BOTH)


def payloads(messages: list[Publish]) -> list[bytes]:
    return [each.payload for each in messages]


def codes(said: list[packets.Packet]) -> list[int]:
    """Return the reason codes of the DISCONNECTs among packets."""
    return [each.reason_code for each in said if isinstance(each, Disconnect)]


@EACH
async def test_a_message_of_qos_1_is_answered_by_puback_of_its_id(version: Version) -> None:
    async with alone(version) as (_, peer):
        peer.send(Publish("a", b"", 1, packet_id=77), Publish("a", b"", 1, packet_id=76))
        assert [(await peer.expect(Puback)).packet_id for _ in range(2)] == [77, 76]


@EACH
async def test_after_puback_the_same_id_is_a_new_message_whatever_dup_says(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("a")
        peer = await stage.connect(version, "p")
        await peer.publish("a", b"1", 1, packet_id=5)
        await peer.publish("a", b"2", 1, packet_id=5, dup=True)
        assert payloads(await watcher.messages()) == [b"1", b"2"]


@EACH
async def test_a_message_of_qos_2_is_taken_in_four_steps(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("a")
        peer = await stage.connect(version, "p")
        peer.send(Publish("a", b"x", 2, packet_id=9))
        assert (await peer.expect(Pubrec)) == Pubrec(9)
        peer.send(Pubrel(9))
        assert (await peer.expect(Pubcomp)) == Pubcomp(9)
        assert payloads(await watcher.messages()) == [b"x"]


@EACH
async def test_until_pubrel_the_same_id_is_the_same_message_and_after_it_a_new_one(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("a")
        peer = await stage.connect(version, "p")
        for dup in (False, True, True):
            peer.send(Publish("a", b"1", 2, dup=dup, packet_id=9))
            assert (await peer.expect(Pubrec)).packet_id == 9
        peer.send(Pubrel(9))
        assert (await peer.expect(Pubcomp)).packet_id == 9
        await peer.publish("a", b"2", 2, packet_id=9)
        assert payloads(await watcher.messages()) == [b"1", b"2"]


@EACH
async def test_the_same_message_of_qos_2_after_a_cut_is_delivered_once(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("a")
        expiry = {"session_expiry_s": 60} if version is V5 else {}
        peer = await stage.connect(version, "p", clean_start=False, **expiry)
        peer.send(Publish("a", b"once", 2, packet_id=9))
        await peer.expect(Pubrec)
        await peer.drop()
        again = await stage.connect(version, "p", clean_start=False, **expiry)
        assert again.connack.session_present
        again.send(Publish("a", b"once", 2, dup=True, packet_id=9))
        assert (await again.expect(Pubrec)).packet_id == 9
        again.send(Pubrel(9))
        assert (await again.expect(Pubcomp)).packet_id == 9
        assert payloads(await watcher.messages()) == [b"once"]


@EACH
async def test_a_pubrel_of_an_unknown_id_is_answered_by_pubcomp(version: Version) -> None:
    async with alone(version) as (_, peer):
        peer.send(Pubrel(4_000))
        assert await peer.expect(Pubcomp) == Pubcomp(4_000, 0x92 if version is V5 else 0)


@EACH
async def test_acknowledgements_come_in_the_order_of_the_messages(version: Version) -> None:
    async with alone(version) as (_, peer):
        ids = [11, 3, 7, 5, 2]
        peer.send(*(Publish("a", b"", 1, packet_id=each) for each in ids))
        assert [(await peer.expect(Puback)).packet_id for _ in ids] == ids
        peer.send(*(Publish("a", b"", 2, packet_id=each) for each in ids))
        assert [(await peer.expect(Pubrec)).packet_id for _ in ids] == ids
        peer.send(*(Pubrel(each) for each in reversed(ids)))
        assert [(await peer.expect(Pubcomp)).packet_id for _ in ids] == ids[::-1]


@EACH
async def test_dup_of_the_publisher_is_not_passed_on(version: Version) -> None:
    async with alone(version) as (stage, watcher):
        await watcher.subscribe("a", qos=2)
        peer = await stage.connect(version, "p")
        await peer.publish("a", b"1", 1, dup=True)
        await peer.publish("a", b"2", 2, dup=True)
        assert [each.dup for each in await watcher.messages()] == [False, False]


@EACH
async def test_qos_3_ends_the_connection(version: Version) -> None:
    async with alone(version) as (_, peer):
        peer.send_bytes(b"\x36\x06\0\1a\0\1x" if version is V3 else b"\x36\x07\0\1a\0\1\0x")
        assert codes(await peer.rest()) == ([] if version is V3 else [0x81])


async def test_more_than_the_receive_maximum_ends_the_connection() -> None:
    async with serving(receive_maximum=3) as stage:
        peer = await stage.connect(V5, "p")
        assert peer.connack.properties.receive_maximum == 3
        peer.send(*(Publish("a", b"", 2, packet_id=each) for each in (1, 2, 3)))
        assert [(await peer.expect(Pubrec)).packet_id for _ in range(3)] == [1, 2, 3]
        peer.send(Pubrel(1))
        assert (await peer.expect(Pubcomp)).packet_id == 1
        peer.send(Publish("a", b"", 2, packet_id=4))
        assert (await peer.expect(Pubrec)).packet_id == 4
        # The quota is used up; other packets are answered all the same.
        assert await peer.sync() == []
        await peer.publish("a", b"", 0)
        peer.send(Publish("a", b"", 2, packet_id=5))
        assert codes(await peer.rest()) == [0x93]


async def test_an_alias_stands_for_its_topic_until_the_connection_ends() -> None:
    async with alone(V5) as (stage, watcher):
        await watcher.subscribe("#")
        peer = await stage.connect(V5, "p")
        most = peer.connack.properties.topic_alias_maximum
        assert most
        for alias in range(1, most + 1):
            peer.send(Publish(f"t/{alias}", b"named", properties=PublishProperties(topic_alias=alias)))
            peer.send(Publish("", b"alias", properties=PublishProperties(topic_alias=alias)))
        peer.send(Publish("t/new", b"named", properties=PublishProperties(topic_alias=1)))
        peer.send(Publish("", b"alias", properties=PublishProperties(topic_alias=1)))
        await peer.sync()
        topics = [each.topic for each in await watcher.messages()]
        assert topics == [f"t/{alias}" for alias in range(1, most + 1) for _ in range(2)] + ["t/new"] * 2
        await peer.leave()
        again = await stage.connect(V5, "p")
        again.send(Publish("", b"alias", properties=PublishProperties(topic_alias=1)))
        assert codes(await again.rest()) == [0x82]


@pytest.mark.parametrize("maximum", [0, 10])
async def test_an_alias_above_the_maximum_ends_the_connection(maximum: int) -> None:
    async with serving(topic_alias_maximum=maximum) as stage:
        peer = await stage.connect(V5, "p")
        assert (peer.connack.properties.topic_alias_maximum or 0) == maximum
        peer.send(Publish("a", b"", properties=PublishProperties(topic_alias=maximum + 1)))
        assert codes(await peer.rest()) == [0x94]


@EACH
async def test_a_message_that_is_not_allowed_is_acknowledged_or_refused_and_never_delivered(version: Version) -> None:
    closed = namespace("closed", publish=Access.NOBODY)
    async with serving([closed, namespace("default")]) as stage:
        watcher = await stage.connect(version, "w")
        await watcher.subscribe("closed/a")
        peer = await stage.connect(version, "p")
        peer.send(Publish("closed/a", b"", 1, packet_id=1), Publish("closed/a", b"", 2, packet_id=2))
        puback, pubrec = await peer.expect(Puback), await peer.expect(Pubrec)
        assert [puback.reason_code, pubrec.reason_code] == ([0, 0] if version is V3 else [0x87, 0x87])
        assert [puback.packet_id, pubrec.packet_id] == [1, 2]
        assert await watcher.messages() == []


@EACH
async def test_a_message_that_cannot_be_stored_now_is_not_acknowledged_as_if_it_was(version: Version) -> None:
    async with serving(faults=Faults(fail=1.0)) as stage:
        peer = await stage.connect(version, "p")
        peer.send(Publish("a", b"", 1, packet_id=7))
        if version is V5:
            assert (await peer.expect(Puback)).reason_code >= 0x80
            assert await peer.sync() == []
        else:
            # It has no word for this: the connection ends, and the client sends it again.
            assert await peer.rest() == []


async def test_after_a_pubrec_that_failed_the_same_id_is_a_new_message() -> None:
    closed = namespace("closed", publish=Access.NOBODY)
    async with serving([closed, namespace("default")]) as stage:
        watcher = await stage.connect(V5, "w")
        await watcher.subscribe("open")
        peer = await stage.connect(V5, "p")
        peer.send(Publish("closed/a", b"", 2, packet_id=1))
        assert (await peer.expect(Pubrec)).reason_code == 0x87
        await peer.publish("open", b"new", 2, packet_id=1)
        assert payloads(await watcher.messages()) == [b"new"]


# --- Retained messages ------------------------------------------------------------------------------------------------


@EACH
async def test_a_retained_message_replaces_the_one_before_and_greets_subscribers(version: Version) -> None:
    async with alone(version) as (stage, peer):
        for qos in (1, 2, 0):
            await peer.publish("r", b"qos %d" % qos, qos, retain=True)
            reader = await stage.connect(version, f"r{qos}")
            await reader.subscribe("r", qos=2)
            [greeting] = await see_through(reader)
            assert (greeting.payload, greeting.qos, greeting.retain) == (b"qos %d" % qos, qos, True)


async def see_through(reader: Peer) -> list[Publish]:
    """Return the messages that wait for a client, acknowledged."""
    came = await reader.messages()
    for each in came:
        if each.qos:
            reader.send(Puback(each.packet_id) if each.qos == 1 else Pubrec(each.packet_id))
    return came


@EACH
async def test_a_live_message_has_no_retain_flag(version: Version) -> None:
    async with alone(version) as (stage, peer):
        reader = await stage.connect(version, "r")
        await reader.subscribe("#")
        await peer.publish("r", b"x", retain=True)
        assert [(each.payload, each.retain) for each in await reader.messages()] == [(b"x", False)]


async def test_a_live_message_has_the_retain_flag_where_it_is_wanted_as_published() -> None:
    async with alone(V5) as (stage, peer):
        reader = await stage.connect(V5, "r")
        await reader.subscribe(SubscribeFilter("r", 1, retain_as_published=True))
        await peer.publish("r", b"1", retain=True)
        await peer.publish("r", b"2", retain=False)
        assert [each.retain for each in await reader.messages()] == [True, False]


@EACH
async def test_an_empty_retained_message_is_delivered_and_removes_what_was_retained(version: Version) -> None:
    async with alone(version) as (stage, peer):
        await peer.publish("r", b"x", retain=True)
        reader = await stage.connect(version, "r")
        await reader.subscribe("r")
        assert payloads(await reader.messages()) == [b"x"]
        await peer.publish("r", b"", 1, retain=True)
        assert [(each.payload, each.retain) for each in await reader.messages()] == [(b"", False)]
        late = await stage.connect(version, "late")
        await late.subscribe("r")
        assert await late.messages() == []


@EACH
async def test_a_message_without_retain_leaves_the_retained_one_alone(version: Version) -> None:
    async with alone(version) as (stage, peer):
        await peer.publish("r", b"kept", retain=True)
        await peer.publish("r", b"live")
        await peer.publish("r", b"")
        await peer.publish("never", b"live")
        reader = await stage.connect(version, "r")
        await reader.subscribe("#")
        assert [(each.topic, each.payload) for each in await reader.messages()] == [("r", b"kept")]


@EACH
async def test_a_retained_message_outlives_the_session_of_its_publisher(version: Version) -> None:
    async with alone(version) as (stage, reader):
        peer = await stage.connect(version, "p")
        await peer.publish("r", b"x", retain=True)
        await peer.leave()
        await reader.subscribe("r")
        assert payloads(await reader.messages()) == [b"x"]


async def test_retain_handling_says_when_retained_messages_come() -> None:
    async with alone(V5) as (stage, peer):
        await peer.publish("r", b"x", retain=True)
        reader = await stage.connect(V5, "r")
        came = []
        for handling in (2, 1, 0, 1, 2):
            await reader.subscribe(SubscribeFilter("r", retain_handling=handling))
            came.append(len(await reader.messages()))
        # With 1 only if there was no subscription: there is one from the first on.
        assert came == [0, 0, 1, 0, 0]
        new = await stage.connect(V5, "new")
        await new.subscribe(SubscribeFilter("r", retain_handling=1))
        assert payloads(await new.messages()) == [b"x"]
