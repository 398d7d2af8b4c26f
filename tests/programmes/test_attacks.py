"""A healthy client is answered through every attack and the hub does not grow; `make attacks` measures the times."""

import pytest

from tests.programmes.attacking import ATTACKS
from tests.programmes.attacks import MOST_BYTES, Outcome, attack, report


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
async def test_f07_who_is_attacked_answers_others_and_does_not_grow(name: str) -> None:
    found = await attack(name, connections=20, seconds=0.5)
    assert [len(took_s) for took_s in (*found.quiet_s, *found.during_s)] == [200, 200]
    assert found.strikes > 0
    assert found.grown_bytes < MOST_BYTES


def test_what_is_too_late_or_too_large_is_missed() -> None:
    good = Outcome(name="a", strikes=1, quiet_s=[[0.001]], during_s=[[0.0012]], grown_bytes=MOST_BYTES)
    late = Outcome(name="b", strikes=1, quiet_s=[[0.001]], during_s=[[0.0013]], grown_bytes=0)
    large = Outcome(name="c", strikes=1, quiet_s=[[0.001]], during_s=[[0.001]], grown_bytes=MOST_BYTES + 1)
    assert [each.kept for each in (good, late, large)] == [True, False, False]
    assert report([good, late, large], 90, 10, 1, "alone").count("**missed**") == 2


def test_a_round_in_which_the_machine_stood_still_does_not_decide() -> None:
    stood = Outcome(name="a", strikes=1, quiet_s=[[0.001]] * 3, during_s=[[0.001], [0.2], [0.0011]], grown_bytes=0)
    assert stood.ratio == pytest.approx(1.1)
    assert stood.ratios == pytest.approx([1, 1.1, 200])
    slow = Outcome(name="b", strikes=1, quiet_s=[[0.001]] * 3, during_s=[[0.002], [0.2], [0.001]], grown_bytes=0)
    assert not slow.kept
