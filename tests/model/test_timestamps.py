"""Times are written in UTC."""

import datetime

from hypothesis import given
from hypothesis import strategies as st

from chappe.model.timestamps import classic_timestamp, rfc3339

_MS_OF_OUR_ERA = st.integers(0, 4_102_444_800_000)


@given(_MS_OF_OUR_ERA)
def test_a_time_is_read_back_to_the_millisecond(time_ms: int) -> None:
    moment = datetime.datetime.fromisoformat(rfc3339(time_ms))
    assert moment.utcoffset() == datetime.timedelta(0)
    assert round(moment.timestamp() * 1000) == time_ms


@given(_MS_OF_OUR_ERA)
def test_times_sort_as_text(time_ms: int) -> None:
    assert rfc3339(time_ms) < rfc3339(time_ms + 1)


def test_both_forms_of_one_moment() -> None:
    assert rfc3339(1_795_348_800_007) == "2026-11-22T12:00:00.007Z"
    assert classic_timestamp(1_795_348_800_007) == "2026-11-22 12:00:00"
