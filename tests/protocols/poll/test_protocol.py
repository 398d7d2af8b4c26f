"""chappe.v1 frames that come by POST."""

from collections.abc import Sequence

from chappe.model.limits import Limits
from chappe.protocols import base
from chappe.protocols.poll import PollEncoder, PollProtocol


def test_the_commands_of_each_frame_are_told_before_they_are_carried_out() -> None:
    told: list[Sequence[base.Command]] = []
    protocol = PollProtocol(Limits(), PollEncoder(), told.append)
    assert protocol.receive(b'[{"type":"ping","id":1},{"type":"pong"}]', True) == [base.Ping(1), base.PongReceived()]
    assert protocol.receive(b"[]", True) == []
    (refused,) = protocol.receive(b"{", True)
    assert isinstance(refused, base.Rejected)
    assert told == [[base.Ping(1), base.PongReceived()], [], [refused]]
