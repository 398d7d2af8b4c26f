"""The contract: values that every protocol shares, and what each protocol has words for."""

import typing

import msgspec
import pytest

from chappe.model.limits import Limits
from chappe.model.member import Member
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.chappe import ChappeProtocol, JsonEncoder, MsgpackEncoder
from chappe.protocols.classic import ClassicEncoder, ClassicProtocol
from chappe.protocols.raw import BroadcastProtocol, RawEncoder

MEMBER = Member("9f", None, "Ada")
MESSAGES: list[base.Message] = [
    base.Connected(1, "9f", "00", None, "", 25.0, "0", "n", False),
    base.Subscribed(1, "a", Position("x", 1), None, False),
    base.Published(1, 1, "x"),
    base.HistoryPage(1, "a", [], Position("x", 1)),
    base.PresenceList(1, "a", [MEMBER], 1),
    base.Locked(1, "r", "9f", 1, None),
    base.Unlocked(1, "r"),
    base.LockOwned(1, "r", ""),
    base.Result(1, None),
    base.Done(1),
    base.Failed(1, 107, "bad request", False, {}),
    base.Joined("a", MEMBER),
    base.Left("a", MEMBER),
    base.PresenceState("a", None, 201),
    base.Names("a", ["Ada"]),
    base.Unsubscribed("a", 2500, "again"),
    base.Missed("a", 2),
    base.Direct(b"{}"),
    base.Pong(),
]
SILENT_IN_CHAPPE = {base.Names}
SPOKEN_IN_CLASSIC = {
    base.Failed,
    base.Joined,
    base.Left,
    base.Names,
    base.Locked,
    base.Unlocked,
    base.LockOwned,
    base.Direct,
    base.Missed,
    base.Pong,
}
ENCODERS: list[base.Encoder] = [JsonEncoder(), MsgpackEncoder(), ClassicEncoder(), RawEncoder()]


def test_the_list_of_messages_here_is_whole() -> None:
    assert {type(message) for message in MESSAGES} == set(typing.get_args(base.Message))


@pytest.mark.parametrize("kind", [*typing.get_args(base.Command), *typing.get_args(base.Message)])
def test_commands_and_messages_are_frozen(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_each_protocol_says_what_it_has_a_word_for_and_is_silent_otherwise(message: base.Message) -> None:
    for encoder in ENCODERS[:2]:
        assert (encoder.message(message) is None) is (type(message) in SILENT_IN_CHAPPE)
    assert (ENCODERS[2].message(message) is not None) is (type(message) in SPOKEN_IN_CLASSIC)
    assert ENCODERS[3].message(message) is None


@pytest.mark.parametrize("kind", list(Kind))
def test_every_protocol_carries_every_kind_of_publication(kind: Kind) -> None:
    publication = Publication("a", b'"x"', kind, 1, "x", 0)
    for encoder in ENCODERS:
        frame = encoder.publication(publication)
        assert frame is not None
        assert frame.channel == "a"


def test_encodings_have_different_names() -> None:
    assert len({encoder.name for encoder in ENCODERS}) == len(ENCODERS)


def test_only_broadcast_is_in_a_channel_from_its_first_moment() -> None:
    limits = Limits()
    protocols: list[base.ServerProtocol] = [
        ChappeProtocol(limits, JsonEncoder()),
        ClassicProtocol(limits, ClassicEncoder()),
        BroadcastProtocol(limits, RawEncoder()),
    ]
    assert [protocol.joins_at_once() for protocol in protocols] == [None, None, "broadcast"]
