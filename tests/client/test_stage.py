"""The states of a subscription."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.client.stage import TRANSITIONS, Input, Stage, advance
from chappe.model.errors import LocalProtocolError


@given(st.sampled_from(list(Stage)), st.sampled_from(list(Input)))
def test_every_input_in_every_stage_follows_the_table_or_raises(stage: Stage, happened: Input) -> None:
    expected = TRANSITIONS.get((stage, happened))
    if expected is None:
        with pytest.raises(LocalProtocolError, match=f"{happened.value} cannot happen .* {stage.value}"):
            advance(stage, happened)
    else:
        assert advance(stage, happened) is expected


def test_a_lost_connection_and_the_end_can_happen_at_any_time() -> None:
    for stage in set(Stage) - {Stage.ENDED}:
        assert advance(stage, Input.LOST) in (Stage.OFFLINE, Stage.LAGGING)
        assert advance(stage, Input.END) is Stage.ENDED


def test_every_stage_but_the_end_leads_to_following() -> None:
    reached = {Stage.FOLLOWING}
    for _ in Stage:
        reached |= {stage for (stage, _), target in TRANSITIONS.items() if target in reached}
    assert reached == set(Stage) - {Stage.ENDED}
