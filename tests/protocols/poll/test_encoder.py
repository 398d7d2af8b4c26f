"""chappe.v1 in frames that remember what they say."""

from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.chappe import JsonEncoder
from chappe.protocols.poll import PollEncoder
from chappe.protocols.sse import EventFrame, MessageFrame


def test_what_is_said_is_chappe_v1_and_the_frame_knows_it() -> None:
    publication = Publication("a", b'{"b":1}', Kind.JSON, 7, "e", 0, headers={"key": "k"})
    frame, plain = PollEncoder().publication(publication), JsonEncoder().publication(publication)
    assert isinstance(frame, EventFrame)
    assert (frame.payload, frame.channel, frame.key) == (plain.payload, "a", "k")
    assert frame.publication is publication
    said = PollEncoder().message(base.Done(3))
    assert isinstance(said, MessageFrame)
    assert (said.payload, said.message) == (b'{"type":"reply","id":3}', base.Done(3))
    assert PollEncoder().message(base.Names("a", ["Ada"])) is None
