"""A hub as a process: it can be killed and comes back where it was."""

import asyncio
import sys

import psutil
import pytest

import chappe
from chappe.testing.hub_process import HubProcess
from chappe.testing.kill_programme import UnexpectedEnd

pytestmark = pytest.mark.slow


async def said(hub: HubProcess) -> str:
    """Publish to it and return what a subscriber got."""
    async with chappe.connect(hub.url) as client, client.subscribe("a") as subscription:
        await client.publish("a", "hello")
        return str((await anext(subscription)).data)


async def test_a_hub_that_was_killed_serves_again_on_its_port() -> None:
    async with HubProcess("--dev") as hub:
        port, pid = hub.port, hub.pid
        assert await said(hub) == "hello"
        await hub.kill()
        assert hub.pid == 0
        assert not psutil.pid_exists(pid)
        await hub.start()
        assert (hub.port, hub.pid != pid) == (port, True)
        assert await said(hub) == "hello"
    assert hub.pid == 0


async def test_a_hub_that_is_stopped_drains() -> None:
    async with HubProcess("--dev") as hub:
        process = psutil.Process(hub.pid)
        await hub.stop()
        assert not process.is_running()


async def test_a_hub_that_cannot_serve_says_why() -> None:
    with pytest.raises(UnexpectedEnd, match=r"expected it to serve: (.|\n)*broker"):
        async with HubProcess("--dev", "--broker", "carrier-pigeon://"):
            pass


OWNER = """
import asyncio
from chappe.testing import HubProcess

async def main():
    async with HubProcess("--dev") as hub:
        print(hub.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_hub_ends_with_the_program_that_started_it_even_if_that_is_killed() -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    hub = psutil.Process(int(await owner.stdout.readline()))
    owner.kill()
    await owner.wait()
    await asyncio.to_thread(hub.wait, 20)
