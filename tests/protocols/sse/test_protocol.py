"""What a stream's client says is nothing."""

from chappe.model.limits import Limits
from chappe.protocols import base
from chappe.protocols.sse import EventEncoder, SseProtocol


def test_a_stream_takes_no_commands() -> None:
    encoder = EventEncoder(True)
    protocol = SseProtocol(Limits(), encoder)
    protocol.opened("Ada")
    protocol.entered("a")
    assert protocol.encoder is encoder
    assert protocol.receive(b'{"type":"publish"}', True) == []
    assert protocol.joins_at_once() is None
    assert protocol.resolve(base.Say("x")) == base.Say("x")
    assert not protocol.closes_refused_names
