"""What the hub counts, as plain integers that the telemetry above reads."""


class Counters:
    """Totals since the start.

    Attributes:
        connections, logins: sessions begun, and identified.
        disconnects: sessions ended.
        messages_in: frames taken from peers.
        published: publications given to the broker.
        delivered: publications handed to links.
        recovered: publications given again from history.
        recovery_reads: histories read for clients that came back.
        recovery_shared: clients that came back and needed no read of their own.
        recovery_refused: gaps not filled because of `recovery_bytes`.
        recovery_evicted: channels whose recent publications were let go to stay below `recovery_cache_bytes`.
        history_cut: pages of history shorter than asked because of `history_page_bytes`.
        dropped: publications dropped for slow readers, who were told.
        interrupted: subscriptions that had to begin again because the feed was interrupted.
        paused: how often a session's reading stopped because its hook was busy.
        probes: name holders asked for a sign of life.
        impersonations: messages refused because they named another speaker.
        relays_refused: large binary frames refused because too much waited already.
        unauthorized: credentials refused.
        protocol_errors: connections ended because the peer broke the protocol.
        hook_errors: hooks and methods that raised something that is no ChappeError.
        errors: answers with an error, by code.
        excesses: commands refused because they came too fast, by the limit that they crossed.
    """

    __slots__ = (
        "connections",
        "delivered",
        "disconnects",
        "dropped",
        "errors",
        "excesses",
        "history_cut",
        "hook_errors",
        "impersonations",
        "interrupted",
        "logins",
        "messages_in",
        "paused",
        "probes",
        "protocol_errors",
        "published",
        "recovered",
        "recovery_evicted",
        "recovery_reads",
        "recovery_refused",
        "recovery_shared",
        "relays_refused",
        "unauthorized",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.logins = 0
        self.disconnects = 0
        self.messages_in = 0
        self.published = 0
        self.delivered = 0
        self.recovered = 0
        self.recovery_reads = 0
        self.recovery_shared = 0
        self.recovery_evicted = 0
        self.recovery_refused = 0
        self.relays_refused = 0
        self.history_cut = 0
        self.dropped = 0
        self.interrupted = 0
        self.paused = 0
        self.probes = 0
        self.impersonations = 0
        self.unauthorized = 0
        self.protocol_errors = 0
        self.hook_errors = 0
        self.errors: dict[int, int] = {}
        self.excesses: dict[str, int] = {}

    def count_error(self, code: int) -> None:
        """Count an answer with an error."""
        self.errors[code] = self.errors.get(code, 0) + 1

    def count_excess(self, limit: str) -> None:
        """Count a command that came too fast."""
        self.excesses[limit] = self.excesses.get(limit, 0) + 1

    def totals(self) -> dict[str, int]:
        """Return every total by name; what is counted by code or limit is apart."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in ("errors", "excesses")}
