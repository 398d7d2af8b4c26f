import asyncio
from collections.abc import Callable
from typing import Any, Final

from chappe.model.frame import Frame
from chappe.model.limits import Limits

WEBSOCKET: Final = 0
SSE: Final = 1
PACKETS: Final = 2

class NativeLink:
    receiver: Any
    seat: Any
    closing: bool
    paused: bool
    last_heard: float
    opened_at: float
    pinged_at: float
    message_began: float
    bytes_in: int
    messages_in: int
    messages_out: int
    @property
    def bytes_out(self) -> int: ...
    @property
    def queued_bytes(self) -> int: ...
    def begin(self, receiver: Any, behind: bytes = b"") -> None: ...
    def send(self, frame: Frame) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...
    def fail(self, code: int, reason: str) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def limit(self, frame_bytes: int) -> None: ...
    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None: ...
    def ping(self) -> None: ...
    def abort(self) -> None: ...

class Reactor:
    epfd: int
    open_links: int
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        counters: Any,
        on_gone: Callable[[NativeLink], None],
        end_by: Callable[[NativeLink, float], None],
        close_timeout_s: float,
        deflated: Callable[[Frame], bytes] | None = None,
        batch_window_s: float = 0.0,
    ) -> None: ...
    def attach(
        self, fd: int, head: bytes, carrier: int = 0, inflate: Callable[[bytes, int], bytes] | None = None
    ) -> NativeLink: ...
    def process(self) -> None: ...
    def has_more(self) -> bool: ...
    def close(self) -> None: ...
