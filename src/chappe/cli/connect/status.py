"""Keep what the state line shows."""

from typing import Literal

from chappe.cli.texts import T

Phase = Literal["offline", "connecting", "online", "waiting"]


class Status:
    """The state of the conversation: phase, address, latency and counts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.phase: Phase = "connecting"
        self.latency_ms: float | None = None
        self.sent = 0
        self.received = 0
        self.n = 0
        self.of = 0

    def line(self) -> str:
        """Return the state line: `connected | ws://host/ | 0.4 ms | sent 3 | received 7`."""
        words = {
            "offline": T["word_offline"],
            "connecting": T["word_connecting"],
            "online": T["word_online"],
            "waiting": T["word_waiting"],
        }
        phase = words[self.phase]
        if self.phase == "waiting":
            phase += f" {self.n}/{self.of or '∞'}"
        latency = "" if self.latency_ms is None or self.phase != "online" else f"{self.latency_ms:.1f} ms"
        parts = [phase, self.url, latency]
        parts += [T["toolbar_sent"].format(count=self.sent), T["toolbar_received"].format(count=self.received)]
        return " | ".join(part for part in parts if part)
