"""chappe.v1: the hub's own protocol, as JSON text or MessagePack (spec/protocol.md).

May import model and protocols.base.
"""

from chappe.protocols.chappe.decoder import ChappeProtocol
from chappe.protocols.chappe.json_encoder import JsonEncoder
from chappe.protocols.chappe.msgpack_encoder import MsgpackEncoder
from chappe.protocols.chappe.payloads import from_base64

__all__ = ["ChappeProtocol", "JsonEncoder", "MsgpackEncoder", "from_base64"]
