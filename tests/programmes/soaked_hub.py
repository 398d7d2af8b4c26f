"""Run as a program: a hub on a free port, which is printed; answers each line of standard input with what it holds."""

import asyncio
import gc
import os
import sys

import msgspec
import psutil
import uvloop

from chappe.app import Hub
from chappe.config import load
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.serving import Server
from tests.programmes.serving import LIMITS

#: Full within two minutes, so that what grows afterwards is no history.
KEPT = Namespace(
    name="soak",
    level=Level.RECOVERABLE,
    history_count=100,
    history_age_s=60,
    subscribe=Access.ANONYMOUS,
    publish=Access.ANONYMOUS,
)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of a hub holds at one moment.

    Attributes:
        rss_bytes: memory.
        descriptors: open files and sockets.
        tasks: of asyncio.
        timers: that wait on the event loop.
    """

    rss_bytes: int
    descriptors: int
    tasks: int
    timers: int


def sample(process: psutil.Process) -> Sample:
    """Look at this process; timers are counted among all objects, since uvloop lists none."""
    timers = sum(type(each).__name__ == "TimerHandle" and not each.cancelled() for each in gc.get_objects())
    return Sample(
        rss_bytes=process.memory_info().rss,
        descriptors=process.num_fds(),
        tasks=len(asyncio.all_tasks()),
        timers=timers,
    )


async def main() -> None:
    """Serve until standard input ends."""
    settings = load(os.devnull, flags={"server.dev": True, **LIMITS}).settings
    server = Server(Hub(settings=settings, namespaces=[KEPT]), port=0)
    await server.start()
    print(server.port, flush=True)
    process = psutil.Process()
    while await asyncio.to_thread(sys.stdin.readline):
        print(msgspec.json.encode(sample(process)).decode(), flush=True)
    await server.stop()


if __name__ == "__main__":
    uvloop.run(main())
