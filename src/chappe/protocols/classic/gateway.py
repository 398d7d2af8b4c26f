"""`/gateway`: classic's service requests and nothing else of it (spec/protocol.md, clause RA-5)."""

from typing import Any, Final

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base
from chappe.protocols.classic.decoder import ClassicProtocol, Reader

_SERVED: Final = ("ping", "pong")


class GatewayProtocol(ClassicProtocol):
    """Decodes the service gateway for one connection: there is no login, no room, no lock and no batch here."""

    def receive(self, payload: bytes, text: bool) -> list[base.Command]:
        """Decode one frame; every error keeps the connection."""
        if not text:
            return [base.Rejected(None, ChappeError(Code.BAD_REQUEST, "a binary frame, expected a service request"))]
        return super().receive(payload, text)

    def _batch(self, fields: dict[str, Any]) -> list[base.Command]:
        return [self._command(fields)]

    def _reader(self, kind: str) -> Reader | None:
        return super()._reader(kind) if kind in _SERVED else None
