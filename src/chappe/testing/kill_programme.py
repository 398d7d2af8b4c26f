"""A seeded programme of kills: something is killed and started again, at moments that nothing agrees upon."""

import asyncio
import random
from typing import Protocol


class UnexpectedEnd(AssertionError):
    """A process ended by itself."""


class Victim(Protocol):
    """What can be killed: `HubProcess`, `LocalNats`, or an engine of your own."""

    async def kill(self) -> None:
        """End at once, with no chance to put anything in order."""

    async def start(self) -> None:
        """Run again with what is left, and return once it accepts connections."""


class KillProgramme:
    """Kills a victim again and again; the same seed chooses the same moments.

    Attributes:
        kills: how many there were so far.
    """

    def __init__(
        self,
        seed: int,
        kills: int,
        *,
        up_s: tuple[float, float] = (0.3, 1.2),
        down_s: tuple[float, float] = (0.0, 0.3),
    ) -> None:
        """Prepare the dice.

        Args:
            seed: of all moments.
            kills: how many there shall be.
            up_s: shortest and longest time from a start to the next kill; some clients are still coming back then.
            down_s: the same from a kill to the start after it.
        Raises:
            ValueError: a time below 0, or a shortest time above the longest.
        """
        for name, (shortest, longest) in {"up_s": up_s, "down_s": down_s}.items():
            if not 0 <= shortest <= longest:
                raise ValueError(f"{name} is {shortest} to {longest}, expected 0 or more, the shortest first")
        self.kills = 0
        self._wanted = kills
        self._dice = random.Random(seed)  # noqa: S311 - not for secrets
        self._up_s = up_s
        self._down_s = down_s

    async def run(self, victim: Victim) -> None:
        """Kill it as often as was asked for; it runs when this returns."""
        while self.kills < self._wanted:
            await asyncio.sleep(self._dice.uniform(*self._up_s))
            await victim.kill()
            self.kills += 1
            await asyncio.sleep(self._dice.uniform(*self._down_s))
            await victim.start()
