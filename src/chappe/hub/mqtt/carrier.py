"""What an MQTT connection needs of what carries it."""

from typing import Protocol

from chappe.model.frame import Frame


class Carrier(Protocol):
    """What carries the packets: a TCP or TLS connection, or a WebSocket."""

    def send(self, frame: Frame) -> None:
        """Send the payload of a frame."""

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued and end, in bounded time."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read again."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer."""

    @property
    def last_heard(self) -> float:
        """When the last bytes of the peer came, monotonic seconds."""
