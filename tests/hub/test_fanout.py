"""A publication is encoded once for each protocol and goes to every link once."""

from __future__ import annotations

from collections.abc import Callable

from chappe.hub.fanout import Fanout, LinkSet
from chappe.model.frame import Frame, SlowConsumer
from chappe.model.publication import Kind, Publication
from chappe.protocols.base import Done
from chappe.protocols.chappe import JsonEncoder, MsgpackEncoder
from chappe.protocols.classic import ClassicEncoder
from tests.hub.harness import RecordingLink, World, namespace

FRAME = Frame(b"x", True)
PUBLICATION = Publication("a", b"1", Kind.JSON, 1, "e", 0)


def links(count: int) -> list[RecordingLink]:
    world = World()
    return [RecordingLink(world) for _ in range(count)]


def sent(several: list[RecordingLink]) -> list[int]:
    return [len(link.frames) for link in several]


def test_every_link_gets_the_same_frame_once_in_the_order_they_came() -> None:
    several, audience = links(3), LinkSet()
    order: list[int] = []
    for number, link in enumerate(several):
        link.on_frame = lambda frame, number=number: order.append(number)  # type: ignore[misc]
        audience.add(link)
        audience.add(link)
    assert audience.publish(FRAME) == len(audience) == 3
    assert order == [0, 1, 2]
    assert all(link.frames[0] is FRAME for link in several)


def test_one_link_may_be_skipped() -> None:
    several, audience = links(2), LinkSet()
    for link in several:
        audience.add(link)
    assert audience.publish(FRAME, several[0]) == 1
    assert sent(several) == [0, 1]
    assert audience.publish(FRAME, links(1)[0]) == 2


def test_links_may_come_and_go_while_a_frame_is_published() -> None:
    several, audience = links(3), LinkSet()
    for link in several[:2]:
        audience.add(link)

    def swap(frame: Frame) -> None:
        audience.discard(several[0])
        audience.add(several[2])

    several[0].on_frame = swap
    audience.publish(FRAME)
    audience.publish(FRAME)
    assert sent(several) == [1, 2, 1]
    audience.discard(several[0])
    assert len(audience) == 2


class CountingEncoder(JsonEncoder):
    def __init__(self) -> None:
        self.encoded = 0

    def publication(self, publication: Publication) -> Frame:
        self.encoded += 1
        return super().publication(publication)


def test_links_of_one_encoding_share_one_frame() -> None:
    encoder, several = CountingEncoder(), links(3)
    fanout = Fanout(LinkSet, SlowConsumer.LATEST)
    for link in several:
        fanout.add(encoder, link)
    assert fanout.publish(PUBLICATION) == 3
    assert encoder.encoded == 1
    assert len({id(link.frames[0]) for link in several}) == 1
    assert several[0].frames[0].policy is SlowConsumer.LATEST


def test_each_encoding_has_its_own_frame_and_is_forgotten_with_its_last_link() -> None:
    json, msgpack, (one, two) = JsonEncoder(), MsgpackEncoder(), links(2)
    fanout = Fanout(LinkSet)
    fanout.add(json, one)
    fanout.add(msgpack, two)
    fanout.publish(PUBLICATION)
    assert (one.frames[0].text, two.frames[0].text) == (True, False)
    fanout.discard(json, one)
    fanout.discard(json, one)
    assert len(fanout) == 1
    fanout.publish(PUBLICATION, two)
    assert sent([one, two]) == [1, 1]


def test_a_message_goes_only_to_those_who_have_a_word_for_it() -> None:
    one, two = links(2)
    fanout = Fanout(LinkSet)
    fanout.add(JsonEncoder(), one)
    fanout.add(ClassicEncoder(), two)
    fanout.message(Done(1))
    assert sent([one, two]) == [1, 0]


def test_lists_of_names_are_wanted_where_classic_listens() -> None:
    json, classic = links(2)
    fanout = Fanout(LinkSet)
    fanout.add(JsonEncoder(), json)
    told = [fanout.wants_names]
    encoder = ClassicEncoder()
    fanout.add(encoder, classic)
    told.append(fanout.wants_names)
    fanout.discard(encoder, classic)
    told.append(fanout.wants_names)
    assert told == [False, True, False]


def test_the_policy_of_a_namespace_goes_with_its_publications(make_world: Callable[..., World]) -> None:
    world = make_world(namespaces=[namespace("default", slow_consumer=SlowConsumer.DROP_OLDEST)])
    for kind, name in (("json", "a/b"), ("msgpack", "a/+")):
        client = world.client(kind, name=kind)
        client.ask("subscribe", channel=name)
        world.append("a/b", 1)
        assert client.link.frames[-1].policy is SlowConsumer.DROP_OLDEST
        assert client.link.frames[0].policy is SlowConsumer.DISCONNECT
