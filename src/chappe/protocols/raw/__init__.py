"""Raw frames without any protocol: `/broadcast`. May import model and protocols.base."""

from chappe.protocols.raw.broadcast import BroadcastProtocol, RawEncoder

__all__ = ["BroadcastProtocol", "RawEncoder"]
