"""chappe.v1 by poll and POST: JSON text whose answers say what they are (spec/protocol.md, part PO).

May import model, protocols.base and the protocols it is made of.
"""

from chappe.protocols.poll.encoder import PollEncoder
from chappe.protocols.poll.protocol import PollProtocol

__all__ = ["PollEncoder", "PollProtocol"]
