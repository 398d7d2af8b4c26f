"""Run as a program: a fault proxy on a free port, which is printed; ends with its standard input.

    python -m tests.programmes.cutting PORT CUT_EVERY_S OFFLINE_S SEED

The line `follow` on its standard input begins the cuts, `rest` ends them and prints how many there were.
"""

import asyncio
import sys

import uvloop

from chappe.testing.fault_programme import FaultProgramme
from chappe.testing.fault_proxy import FaultProxy


async def main(port: int, cut_every_s: float, offline_s: float, seed: int) -> None:
    """Disturb as standard input says."""
    programme = FaultProgramme(seed, cut_every_s=cut_every_s, offline_s=offline_s)
    async with FaultProxy("127.0.0.1", port) as proxy:
        print(proxy.port, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line == "follow\n":
                proxy.follow(programme)
            elif line == "rest\n":
                proxy.follow(None)
                print(programme.cuts, flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
