"""Kills come as often as was asked for, and a victim runs when they are over."""

import pytest

from chappe.testing.kill_programme import KillProgramme

NOW = (0.0, 0.0)


class Victim:
    """Takes down what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def kill(self) -> None:
        self.done.append("kill")

    async def start(self) -> None:
        self.done.append("start")


async def test_a_victim_is_killed_as_often_as_was_asked_for_and_runs_afterwards() -> None:
    victim, programme = Victim(), KillProgramme(1, 3, up_s=NOW, down_s=NOW)
    await programme.run(victim)
    assert victim.done == ["kill", "start"] * 3
    assert programme.kills == 3


async def test_what_does_not_start_again_ends_the_programme() -> None:
    class Dead(Victim):
        async def start(self) -> None:
            raise OSError("no room")

    programme = KillProgramme(1, 3, up_s=NOW, down_s=NOW)
    with pytest.raises(OSError, match="no room"):
        await programme.run(Dead())
    assert programme.kills == 1


@pytest.mark.parametrize("times", [(-1.0, 1.0), (2.0, 1.0)])
def test_impossible_times_are_refused(times: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="up_s is"):
        KillProgramme(1, 3, up_s=times)
    with pytest.raises(ValueError, match="down_s is"):
        KillProgramme(1, 3, down_s=times)
