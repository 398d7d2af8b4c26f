"""Wall-clock times as text."""

import datetime
from functools import lru_cache


# A burst is faster than the clock: many publications share their millisecond, and each is written for each protocol.
@lru_cache(maxsize=16)
def rfc3339(time_ms: int) -> str:
    """Write milliseconds since 1970 as RFC 3339 in UTC, with milliseconds: ``2026-11-22T12:00:00.123Z``."""
    return f"{_second(time_ms // 1000)}.{time_ms % 1000:03d}Z"


def classic_timestamp(time_ms: int) -> str:
    """Write milliseconds since 1970 as classic does, in UTC: ``2026-11-22 12:00:00``."""
    return _second(time_ms // 1000).replace("T", " ")


# Publications come in bursts: nearly all of one burst share their second.
@lru_cache(maxsize=16)
def _second(second: int) -> str:
    moment = datetime.datetime.fromtimestamp(second, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
