"""The offline checker: proves from logs that nothing acknowledged was lost, reordered, doubled or invented.

Publishers and subscribers of any language write what they did and saw as JSON lines (`journal`); `rules` finds what
cannot be, with `stored` and `chains`; `defects` spoils a good log in known ways; `judge` gives its verdict
only after it has found all of those.
"""

from chappe.testing.checker.findings import Finding, Kind
from chappe.testing.checker.journal import Journal, payload_hash, read_events
from chappe.testing.checker.judge import CheckerBroken, Verdict, verdict
from chappe.testing.checker.rules import check

__all__ = ["CheckerBroken", "Finding", "Journal", "Kind", "Verdict", "check", "payload_hash", "read_events", "verdict"]
