"""The implementations of the WebSocket codec that must not differ."""

import importlib
from typing import Any, Final, Protocol, cast

from chappe.wire.deflate import Inflate

#: A native codec that was not built fails its tests: on a machine that runs them there is a compiler.
MODULES: Final = {"pure": "chappe.wire.websocket_pure", "native": "chappe.wire._websocket"}


class Receiving(Protocol):
    """One connection's receiving state."""

    ended: bool
    frames_in: int
    pings_in: int

    def limit(self, max_message_bytes: int) -> None: ...
    def receive(self, data: bytes) -> list[tuple[bytes, bool]]: ...
    def ping(self) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...
    def fail(self, code: int, reason: str) -> None: ...
    def data_to_send(self) -> bytes: ...
    @property
    def is_within_message(self) -> bool: ...
    @property
    def close_code(self) -> int: ...


class Codec(Protocol):
    """A module with a codec."""

    def encode_frame(self, payload: bytes, text: bool, deflated: bool = False) -> bytes: ...
    def WebSocketCodec(
        self, max_message_bytes: int, inflate: Inflate | None = None, max_fragments: int = 64
    ) -> Receiving: ...


def load_codec(name: str) -> Codec:
    """Return an implementation by its name in `MODULES`."""
    module: Any = importlib.import_module(MODULES[name])
    return cast(Codec, module)
