"""Subscriptions (MQTT 5, 3.8 to 3.11, 4.7, 4.8.2): answers, matching, overlapping, options, shared ones."""

import pytest

from chappe.hub.namespaces import Access, Level
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import (
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeFilter,
    Unsuback,
    Unsubscribe,
    Version,
)
from tests.conformance.mqtt.peer import BOTH, V3, V5, Peer, Stage, alone, namespace, serving

EACH = pytest.mark.parametrize("version", BOTH)


def told(messages: list[Publish]) -> list[tuple[str, bytes]]:
    return [(each.topic, each.payload) for each in messages]


@EACH
async def test_subscribe_and_unsubscribe_are_answered_filter_by_filter(version: Version) -> None:
    async with alone(version) as (_, peer):
        peer.send(Subscribe(300, (SubscribeFilter("a", 2), SubscribeFilter("b/#", 0), SubscribeFilter("c", 1))))
        assert await peer.expect(Suback) == Suback(300, (2, 0, 1))
        peer.send(Unsubscribe(301, ("nothing", "a", "b/#")))
        codes = () if version is V3 else (0x11, 0, 0)
        assert await peer.expect(Unsuback) == Unsuback(301, codes)
        peer.send(Unsubscribe(302, ("nothing",)))
        assert (await peer.expect(Unsuback)).packet_id == 302
        await peer.publish("a")
        await peer.publish("b/c")
        peer.send(Publish("c", b"still"))
        assert told(await peer.messages()) == [("c", b"still")]


@EACH
async def test_a_filter_that_is_refused_has_its_code_in_its_place(version: Version) -> None:
    closed = namespace("closed", subscribe=Access.NOBODY)
    async with serving([closed, namespace("default")]) as stage:
        peer = await stage.connect(version, "c")
        codes = await peer.subscribe("a", "closed/x", "b", qos=1)
        assert codes == [1, 0x80, 1] if version is V3 else [1, 0x87, 1]


@EACH
async def test_qos_0_is_granted_where_nothing_is_kept(version: Version) -> None:
    live = namespace("live", level=Level.LIVE)
    async with serving([live, namespace("default", level=Level.RECOVERABLE)]) as stage:
        peer = await stage.connect(version, "c")
        assert await peer.subscribe("live/a", "a", qos=2) == [0, 2]
        await peer.publish("live/b", b"", 2)


@EACH
async def test_the_same_filter_again_replaces_the_subscription_and_brings_retained_messages(version: Version) -> None:
    async with alone(version) as (stage, other):
        await other.publish("a", b"kept", retain=True)
        peer = await stage.connect(version, "c")
        assert await peer.subscribe("a", qos=0) == [0]
        assert told(await peer.messages()) == [("a", b"kept")]
        assert await peer.subscribe("a", qos=1) == [1]
        assert told(await peer.messages()) == [("a", b"kept")]
        await other.publish("a", b"live", 1)
        [message] = await peer.messages()
        assert (message.payload, message.qos) == (b"live", 1)


@EACH
async def test_filters_go_character_by_character(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await stage.connect(version, "c")
        await peer.subscribe("a/+")
        peer.send(Unsubscribe(1, ("a/#", "a/b", "A/+", "a/+/")))
        await peer.expect(Unsuback)
        await other.publish("a/b", b"1")
        assert told(await peer.messages()) == [("a/b", b"1")]
        peer.send(Unsubscribe(1, ("a/+",)))
        await peer.expect(Unsuback)
        await other.publish("a/b", b"2")
        assert await peer.messages() == []


@EACH
async def test_what_is_on_its_way_is_completed_after_unsubscribe(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await stage.connect(version, "c")
        await peer.subscribe("a", qos=2)
        await other.publish("a", b"x", 2)
        [message] = await peer.messages()
        peer.send(Unsubscribe(1, ("a",)))
        await peer.expect(Unsuback)
        peer.send(Pubrec(message.packet_id))
        assert (await peer.expect(Pubrel)).packet_id == message.packet_id
        peer.send(Pubcomp(message.packet_id))
        assert await peer.sync() == []


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("sport/#", ["sport", "sport/a", "sport/a/b", "sport/"], ["sports", "a/sport"]),
        ("sport/+", ["sport/", "sport/a"], ["sport", "sport/a/b"]),
        ("+/+", ["/finance", "a/b", "/"], ["finance", "a/b/c"]),
        ("/+", ["/finance"], ["finance", "a/finance"]),
        ("+", ["finance"], ["/finance"]),
        ("a//b", ["a//b"], ["a/b", "a/x/b"]),
        ("#", ["a", "/", "a/b"], []),
        ("Accounts", ["Accounts"], ["ACCOUNTS", "accounts"]),
        ("e\u0301", ["e\u0301"], ["é"]),
        ("a b", ["a b"], ["a  b"]),
    ],
)
async def test_filters_match_as_the_examples_say(pattern: str, matching: list[str], others: list[str]) -> None:
    async with alone(V5) as (stage, other):
        peer = await stage.connect(V5, "c")
        await peer.subscribe(pattern)
        for topic in (*matching, *others):
            await other.publish(topic)
        assert [each.topic for each in await peer.messages()] == matching


@EACH
async def test_a_filter_that_begins_with_a_wildcard_matches_no_topic_that_begins_with_a_dollar(
    version: Version,
) -> None:
    async with serving(sys_interval_s=0.0) as stage:
        peer = await stage.connect(version, "c")
        await peer.subscribe("#", "+/a", "+/#")
        for topic in ("$SYS/a", "$SYS", "$/a", "a/$SYS"):
            await stage.server.hub.publish(topic, "x")
        assert [each.topic for each in await peer.messages()] == ["a/$SYS"]


@EACH
async def test_overlapping_filters_bring_one_copy_of_the_highest_qos(version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await stage.connect(version, "c")
        await peer.subscribe("a/#", qos=1)
        await peer.subscribe("a/+", qos=2)
        await peer.subscribe("a/b", qos=0)
        await other.publish("a/b", b"x", 2)
        assert [each.qos for each in await peer.messages()] == [2]


async def test_one_copy_has_the_identifiers_of_all_subscriptions_that_match() -> None:
    async with alone(V5) as (stage, other):
        peer = await stage.connect(V5, "c")
        await peer.subscribe("a/#", identifier=1)
        await peer.subscribe("a/+", identifier=268_435_455)
        await peer.subscribe("a/b")
        await peer.subscribe("c/#", identifier=3)
        await other.publish("a/b")
        [message] = await peer.messages()
        assert sorted(message.properties.subscription_ids) == [1, 268_435_455]
        await peer.subscribe("a/#", identifier=7)
        await other.publish("a/b/c")
        [message] = await peer.messages()
        assert message.properties.subscription_ids == (7,)


@EACH
@pytest.mark.parametrize("granted", [0, 1, 2])
async def test_a_message_has_the_lower_qos_of_publisher_and_subscription(granted: int, version: Version) -> None:
    async with alone(version) as (stage, other):
        peer = await stage.connect(version, "c")
        await peer.subscribe("a", qos=granted)
        for qos in (0, 1, 2):
            await other.publish("a", b"x", qos)
        messages = await peer.messages()
        assert [each.qos for each in messages] == [min(qos, granted) for qos in (0, 1, 2)]
        assert not any(each.dup for each in messages)


async def test_no_local_keeps_a_message_from_its_own_client_only() -> None:
    async with alone(V5) as (stage, peer):
        other = await stage.connect(V5, "other")
        for each in (peer, other):
            await each.subscribe(SubscribeFilter("a", 1, no_local=True), "b")
        peer.send(Publish("a", b"mine"), Publish("b", b"mine"))
        assert told(await peer.messages()) == [("b", b"mine")]
        assert told(await other.messages()) == [("a", b"mine"), ("b", b"mine")]


# --- Shared subscriptions ---------------------------------------------------------------------------------------------


async def members(stage: Stage, qos: int, *names: str, filter_: str = "$share/g/s/#") -> list[Peer]:
    peers = [await stage.connect(V5, name, session_expiry_s=60, clean_start=False) for name in names]
    for peer in peers:
        assert await peer.subscribe(filter_, qos=qos) == [qos]
    return peers


async def test_each_message_goes_to_one_member_and_to_every_group() -> None:
    async with alone(V5) as (stage, other):
        group = await members(stage, 0, "g1", "g2", "g3")
        [second] = await members(stage, 0, "h1", filter_="$share/h/s/#")
        for number in range(30):
            await other.publish("s/a", b"%d" % number)
        came = [each.payload for peer in group for each in await peer.messages()]
        wanted = [b"%d" % number for number in range(30)]
        assert sorted(came) == sorted(wanted)
        assert [each.payload for each in await second.messages()] == wanted


async def test_no_retained_messages_come_with_a_shared_subscription() -> None:
    async with alone(V5) as (stage, other):
        await other.publish("s/a", b"x", retain=True)
        [peer] = await members(stage, 1, "g1")
        assert await peer.messages() == []


async def test_each_member_has_the_qos_that_it_was_granted() -> None:
    async with alone(V5) as (stage, other):
        [one] = await members(stage, 1, "g1")
        [none] = await members(stage, 0, "g2")
        for _ in range(10):
            await other.publish("s/a", b"x", 2)
        [*ones], [*nones] = await one.messages(), await none.messages()
        assert len(ones) + len(nones) == 10
        assert {each.qos for each in ones} <= {1}
        assert {each.qos for each in nones} <= {0}


async def holder(peers: list[Peer]) -> tuple[Peer, Publish, list[Peer]]:
    """Return the member that a message went to, the message, and the others."""
    came = {peer: await peer.messages() for peer in peers}
    [(peer, [message])] = [(peer, messages) for peer, messages in came.items() if messages]
    return peer, message, [each for each in peers if each is not peer]


async def test_a_message_of_qos_2_is_completed_with_its_member_when_that_comes_back() -> None:
    async with alone(V5) as (stage, other):
        names = dict(zip(("g1", "g2"), await members(stage, 2, "g1", "g2"), strict=True))
        await other.publish("s/a", b"x", 2)
        peer, message, [idle] = await holder(list(names.values()))
        await peer.drop()
        assert await idle.messages() == []
        [name] = [each for each, known in names.items() if known is peer]
        again = await stage.connect(V5, name, session_expiry_s=60, clean_start=False)
        repeated = await again.expect(Publish)
        assert (repeated.packet_id, repeated.dup, repeated.payload) == (message.packet_id, True, b"x")
        again.send(Pubrec(repeated.packet_id))
        assert (await again.expect(Pubrel)).packet_id == repeated.packet_id
        assert await idle.messages() == []


async def test_a_message_of_qos_2_goes_to_nobody_else_when_the_session_of_its_member_ends() -> None:
    async with alone(V5) as (stage, other):
        names = dict(zip(("g1", "g2"), await members(stage, 2, "g1", "g2"), strict=True))
        await other.publish("s/a", b"x", 2)
        peer, _, [idle] = await holder(list(names.values()))
        await peer.drop()
        [name] = [each for each, known in names.items() if known is peer]
        clean = await stage.connect(V5, name, clean_start=True)
        assert await clean.sync() == []
        assert await idle.messages() == []


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_a_member_refuses_goes_to_nobody_else(qos: int) -> None:
    async with alone(V5) as (stage, other):
        group = await members(stage, qos, "g1", "g2")
        await other.publish("s/a", b"x", qos)
        peer, message, [idle] = await holder(group)
        peer.send(Puback(message.packet_id, 0x83) if qos == 1 else Pubrec(message.packet_id, 0x83))
        assert await peer.sync() == []
        assert await idle.messages() == []


async def test_a_member_that_unsubscribes_gets_no_more() -> None:
    async with alone(V5) as (stage, other):
        one, two = await members(stage, 0, "g1", "g2")
        one.send(packets.Unsubscribe(1, ("$share/g/s/#",)))
        await one.expect(Unsuback)
        for number in range(5):
            await other.publish("s/a", b"%d" % number)
        assert await one.messages() == []
        assert len(await two.messages()) == 5
