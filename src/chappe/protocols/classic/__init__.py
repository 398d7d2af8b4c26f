"""classic: chat in eight lines of JSON (spec/protocol.md, part CL). May import model and protocols.base."""

from chappe.protocols.classic.decoder import ClassicProtocol
from chappe.protocols.classic.encoder import ClassicEncoder
from chappe.protocols.classic.gateway import GatewayProtocol

__all__ = ["ClassicEncoder", "ClassicProtocol", "GatewayProtocol"]
