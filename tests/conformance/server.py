"""Run as a program: `/echo` with Autobahn's limits on a free port, which is printed; ends with its standard input.

Args: names of modules that shall count as not built.
"""

import asyncio
import os
import sys

for missing in sys.argv[1:]:
    sys.modules[missing] = None  # type: ignore[assignment]

from chappe.app import Hub  # noqa: E402  (the modules above must be gone before)
from chappe.config import load  # noqa: E402
from chappe.serving import Server  # noqa: E402  (the modules above must be gone before)
from chappe.wire.websocket import NATIVE  # noqa: E402

#: Autobahn sends 4 MiB in fragments of 64 bytes (9.3.1), which a hub refuses by default.
FRAGMENTS = {"limits.message_fragments": 65_536}
#: Autobahn's largest message is 16 MiB (9.1.6); none of its readers is slow on purpose.
SIZES = {"limits.frame_bytes": 17 * 1_048_576, "limits.send_queue_bytes": 64 * 1_048_576}
#: Its cases expect no ping and end when one comes.
TIMES = {"limits.ping_interval_s": 600.0, "limits.idle_timeout_s": 1_200.0}
LIMITS = {**FRAGMENTS, **SIZES, **TIMES}


async def main() -> None:
    """Serve until standard input ends."""
    settings = load(os.devnull, flags={"server.dev": True, "server.compression_min_bytes": 0, **LIMITS}).settings
    server = Server(Hub(settings=settings), port=0)
    await server.start()
    print(server.port, "native" if NATIVE else "pure", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
