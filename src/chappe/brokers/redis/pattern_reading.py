"""Answers to reads across channels, from the log of one server or without one from several."""

from collections.abc import Callable, Sequence
from typing import Final

from chappe.brokers.redis.log_reading import Changes
from chappe.brokers.redis.shard import Shard
from chappe.hub.contracts import ReadLog, ReadLogResult
from chappe.model.channels import pattern_matches
from chappe.model.error_codes import Code
from chappe.model.publication import Publication

#: More digits are no position of ours; Python refuses to read very long numbers.
_MAX_DIGITS: Final = 15

Told = Callable[[ReadLogResult], None]


def unreadable() -> ReadLogResult:
    """Return the answer when the log cannot be read."""
    return ReadLogResult(Code.NOT_AVAILABLE, ":0")


def read_log(shard: Shard, request: ReadLog, done: Told) -> None:
    """Read the log of the only server."""
    generation, since = _parse(request.since)

    def read(changes: Changes) -> None:
        if changes.failed:
            done(unreadable())
            return
        known = since is not None and generation == changes.generation and since <= changes.log
        found: Sequence[Publication] = changes.publications if known else ()
        whole = not changes.lost and changes.forgotten <= (since or 0)
        done(
            ReadLogResult(
                0,
                f"{changes.generation}:{changes.log}",
                changes.log,
                found[: max(request.limit, 0)],
                known and whole and len(found) <= request.limit,
                changes.retained,
            )
        )

    _changes(shard, 0, request.pattern, read).start(since)


def read_several(shards: Sequence[Shard], position: str, sequence: int, request: ReadLog, done: Told) -> None:
    """Read what several servers retain; their logs have no common order, so nothing before can be given.

    Args:
        position, sequence: of the last publication of this hub's feed; they mean nothing to another hub.
    """
    parts = [(shard, index) for shard in shards for index in range(len(shard.partitions))]
    left = len(parts)
    failed = not parts
    retained: list[Publication] = []

    def read(changes: Changes) -> None:
        nonlocal left, failed
        left -= 1
        failed = failed or changes.failed
        retained.extend(changes.retained)
        if not left:
            tell()

    def tell() -> None:
        if failed:
            done(unreadable())
        else:
            done(ReadLogResult(0, position, sequence, (), False, retained))

    if failed:
        tell()
    for shard, index in parts:
        _changes(shard, index, request.pattern, read).start(None)


def _changes(shard: Shard, index: int, pattern: str, done: Callable[[Changes], None]) -> Changes:
    return Changes(shard.ask, shard.partitions[index], shard.origin, lambda name: pattern_matches(pattern, name), done)


def _parse(since: str | None) -> tuple[str, int | None]:
    generation, _, digits = (since or "").partition(":")
    if len(digits) > _MAX_DIGITS or not (digits.isascii() and digits.isdigit()):
        return generation, None
    return generation, int(digits)
