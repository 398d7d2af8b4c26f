"""All rules over all events."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from chappe.testing.checker.chains import Chain
from chappe.testing.checker.findings import Finding, Kind
from chappe.testing.checker.journal import Ack, Attempt, Event, Failed, History, Seen
from chappe.testing.checker.stored import Stored


def check(events: Iterable[Event]) -> list[Finding]:
    """Find every broken promise in some logs."""
    log = list(events)
    channels: dict[str, Stored] = {}
    for event in log:
        channels.setdefault(event.channel, Stored(event.channel)).learn(event)
    findings: list[Finding] = []
    for stored in channels.values():
        findings += stored.complete()
    for stored in channels.values():
        findings += stored.findings()
    findings += _inventions(log, channels)
    chains: dict[tuple[str, str], Chain] = {}
    for event in log:
        if isinstance(event, History):
            findings += _history(event, channels[event.channel])
        elif not isinstance(event, Attempt | Ack | Failed):
            name = (event.subscriber, event.channel)
            if name not in chains:
                chains[name] = Chain(event.subscriber, channels[event.channel])
            findings += chains[name].follow(event)
    for chain in chains.values():
        findings += chain.finish()
    return findings


def _inventions(log: Iterable[Event], channels: dict[str, Stored]) -> Iterator[Finding]:
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for event in log:
        if isinstance(event, Attempt):
            homes[event.hash].add(event.channel)
    for event in log:
        told: list[tuple[int, str]] = []
        who = ""
        if isinstance(event, Seen):
            who, told = event.subscriber, [(event.offset, event.hash)]
        elif isinstance(event, History):
            who, told = event.reader, list(event.publications)
        for offset, payload in told:
            if not channels[event.channel].attempted(payload):
                kind = Kind.CROSS_CHANNEL if payload in homes else Kind.INVENTED
                home = f", which belongs to {sorted(homes[payload])}" if payload in homes else ""
                yield Finding(kind, event.channel, f"{who} saw {payload} at {offset}{home}")


def _history(event: History, stored: Stored) -> Iterator[Finding]:
    offsets = [offset for offset, _ in event.publications]
    if any(later <= earlier for earlier, later in pairwise(offsets)):
        yield Finding(Kind.REORDERED, event.channel, f"{event.reader} read the offsets {offsets[:20]}")
    present = set(offsets)
    acknowledged = {(each.ack.epoch, each.ack.offset) for each in stored.acknowledged}
    for offset in stored.between(event.epoch, event.since, event.offset):
        if offset not in present:
            kind = Kind.NOT_STORED if (event.epoch, offset) in acknowledged else Kind.LOST
            yield Finding(kind, event.channel, f"{event.reader} read a history without {offset} of {event.epoch!r}")
