"""Both codecs and the `websockets` library make the same of the same bytes, but for what is listed here."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.codecs import Codec, load_codec
from tests.wire.conversations import (
    FLAWS,
    Outcome,
    conversations,
    cut,
    frame,
    goodbyes,
    mutated,
    outcome_of,
    outcome_of_library,
)

CUTS = st.lists(st.integers(0, 700), max_size=12)
DEFLATE = pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])

#: Where we are stricter than the library, or earlier, by the reason of our close frame.
STRICTER = {
    "length not in its shortest form": "the library takes any form",
    "text is no UTF-8": "the library waits for the end of the message; that may not come, or be another error",
    "too many fragments": "the library's protocol does not count them",
    "message too large": "the library counts a compressed message after inflating only",
    "a compressed message breaks off": "the library takes what there is of a block",
    "a compressed message is no deflated data": "the library reads nothing behind the end, or a final block",
    "a compressed message has more than 16 final blocks": "the library reads one",
    "fragmented control frame": "the library waits for the payload",
    "control frame too long": "the library waits for the payload",
    "reserved bits are set": "the library waits for the payload",
    "a new message inside another one": "the library waits for the payload",
    "a continuation of nothing": "the library waits for the payload",
}
#: Where the library refuses what we take, by the beginning of the reason of its close frame.
LAXER = {
    "incomplete fragmented message": "a goodbye may come inside a message (Autobahn 7.1.5)",
    "decompression failed": "the library keeps to the first final block of a message",
    "frame with ": "the library counts a control frame inside a message as a part of it",
}


def is_laxer(theirs: Outcome) -> bool:
    return reason(theirs).startswith(tuple(LAXER))


def reason(outcome: Outcome) -> str:
    return (outcome.closed or b"")[2:].decode()


def without_reason(outcome: Outcome) -> Outcome:
    return outcome._replace(closed=outcome.closed and outcome.closed[:2])


def comparable(outcome: Outcome) -> Outcome:
    """Return what the library tells as well; whether it stands inside a frame is not among it."""
    return without_reason(outcome)._replace(within=False)


@DEFLATE
@given(data=st.data(), cuts=CUTS)
def test_any_split_of_the_bytes_gives_the_same(
    wire: Codec, deflate: bool, data: st.DataObject, cuts: list[int]
) -> None:
    sent = data.draw(st.one_of(conversations(deflate), mutated(deflate)))
    assert outcome_of(wire, cut(sent, cuts), deflate) == outcome_of(wire, [sent], deflate)


@DEFLATE
@given(data=st.data())
def test_byte_by_byte_is_the_same(wire: Codec, deflate: bool, data: st.DataObject) -> None:
    sent = data.draw(st.one_of(conversations(deflate), mutated(deflate)))[:400]
    assert outcome_of(wire, cut(sent, range(len(sent))), deflate) == outcome_of(wire, [sent], deflate)


@DEFLATE
@given(data=st.data(), cuts=CUTS)
def test_the_native_codec_is_its_pure_twin(deflate: bool, data: st.DataObject, cuts: list[int]) -> None:
    sent = data.draw(st.one_of(conversations(deflate), mutated(deflate)))
    found = [outcome_of(load_codec(name), cut(sent, cuts), deflate) for name in ("native", "pure")]
    assert found[0] == found[1]


def test_of_two_flaws_of_a_goodbye_all_name_the_same(wire: Codec) -> None:
    # A code that nobody may send, and a reason that is no UTF-8.
    sent = frame(8, b"\x02\xe8\xff")
    assert outcome_of(wire, [sent], False).closed == outcome_of(load_codec("pure"), [sent], False).closed
    assert comparable(outcome_of(wire, [sent], False)) == comparable(outcome_of_library(sent, False))


@DEFLATE
@given(data=st.data())
def test_what_is_right_is_read_as_the_library_reads_it(wire: Codec, deflate: bool, data: st.DataObject) -> None:
    sent = data.draw(conversations(deflate))
    ours, theirs = outcome_of(wire, [sent], deflate), outcome_of_library(sent, deflate)
    if is_laxer(theirs):
        assert ours.messages[: len(theirs.messages)] == theirs.messages
        return
    assert comparable(ours) == comparable(theirs)


@DEFLATE
@given(data=st.data())
def test_what_is_wrong_is_refused_as_the_library_does_or_for_a_reason_that_is_listed(
    deflate: bool, data: st.DataObject
) -> None:
    sent = data.draw(mutated(deflate))
    ours, theirs = outcome_of(load_codec("pure"), [sent], deflate), outcome_of_library(sent, deflate)
    if comparable(ours) == comparable(theirs):
        return
    assert reason(ours) in STRICTER or is_laxer(theirs)
    for (our_payload, our_kind), (their_payload, their_kind) in zip(ours.messages, theirs.messages, strict=False):
        assert our_kind == their_kind
        # A flaw may make a block the final one, and there the library leaves a message.
        assert our_payload.startswith(their_payload) if deflate else our_payload == their_payload


@pytest.mark.parametrize("name", FLAWS)
@DEFLATE
def test_every_flaw_ends_the_connection_as_the_library_ends_it(wire: Codec, name: str, deflate: bool) -> None:
    ours, theirs = outcome_of(wire, [FLAWS[name]], deflate), outcome_of_library(FLAWS[name], deflate)
    assert comparable(ours) == comparable(theirs)
    assert ours.ended


@given(goodbye=goodbyes())
def test_autobahn_7_1_5_a_goodbye_inside_a_message_is_answered(wire: Codec, goodbye: bytes) -> None:
    sent = frame(1, b"a", fin=False) + goodbye
    ours, theirs = outcome_of(wire, [sent], False), outcome_of_library(sent, False)
    assert ours == outcome_of(wire, [goodbye], False)
    assert theirs.code == 1002


@pytest.mark.parametrize("listed", [STRICTER, LAXER], ids=["stricter", "laxer"])
def test_every_difference_says_why(listed: dict[str, Any]) -> None:
    assert all(listed.values())
