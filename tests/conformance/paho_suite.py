"""Run the interoperability suite of Eclipse Paho, which is somebody else's, against a hub of our own.

`python -m tests.conformance.paho_suite FOLDER`, where FOLDER is its `interoperability`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from chappe.app import Hub
from chappe.config import load
from chappe.model.errors import Refused
from chappe.serving import Server

#: The one filter that the suite expects to be refused.
CLOSED: Final = "test/nosubscribe"
#: What takes longer hangs: `test_flow_control2` waits for ever for a DISCONNECT that does not come.
LIMIT_S: Final = 600

#: The part for 3.1.1 takes no port beside the names of tests.
PART_3: Final = """
import sys, unittest
import client_test
client_test.host, client_test.port = "127.0.0.1", int(sys.argv[1])
client_test.topics = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
client_test.wildtopics = ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")
client_test.nosubscribe_topics = ("test/nosubscribe",)
unittest.main(module=client_test, argv=["client_test"])
"""


def make_hub() -> Hub:
    """Return a hub that is open but for one filter."""
    hub = Hub(settings=load(os.devnull, flags={"server.dev": True}).settings)

    @hub.on_subscribe(CLOSED)
    def refuse(session: object, channel: str) -> None:
        # Patterns that reach it are asked about as well.
        if channel == CLOSED:
            raise Refused(1_000, "nobody may")

    return hub


async def run_part(folder: Path, *arguments: str) -> int:
    """Run one part; return its exit code. Never two at once: they use the same client ids."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "ignore", *arguments, cwd=folder)
    async with asyncio.timeout(LIMIT_S):
        return await process.wait()


async def main(folder: Path) -> int:
    """Run both parts; return how many failed."""
    server = Server(make_hub(), "127.0.0.1", 0, mqtt_port=0)
    await server.start()
    try:
        port = str(server.mqtt_port)
        failed = await run_part(folder, "-c", PART_3, port) != 0
        return failed + (await run_part(folder, "client_test5.py", "-p", port) != 0)
    finally:
        await server.stop()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
