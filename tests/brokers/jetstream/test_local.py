"""A server of one's own starts, keeps its port and its files over a restart, and does not outlive its parent."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from chappe.brokers.nats.local import LocalNats, find_server
from chappe.hub.contracts import Read
from chappe.model.errors import ConfigurationError
from tests.brokers.jetstream.server import KEPT, item, node, running

PARENT = """
import asyncio
from chappe.brokers.nats.local import LocalNats

async def main():
    server = LocalNats()
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_missing_server_is_told_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'pip install "chappe\[nats\]"'):
        find_server(tmp_path, str(tmp_path))


@pytest.mark.slow
async def test_a_server_keeps_its_port_its_secret_and_its_files(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        url, mode = server.url, (tmp_path / "nats.conf").stat().st_mode
        assert mode & 0o077 == 0
        async with node(url) as one:
            (position,) = await one.probe.store(item("kept/a"))
        await server.stop()
        assert server.pid == 0
        await server.start()
        assert server.url == url
        async with node(url) as one:
            assert (await one.probe.read(Read("kept/a", KEPT))).position == position


@pytest.mark.slow
async def test_a_directory_of_its_own_goes_with_the_server() -> None:
    async with running() as server:
        directory = server.directory
        assert directory.is_dir()
    assert not directory.exists()


@pytest.mark.slow
async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("a file where a directory should be")
    server = LocalNats(tmp_path)
    with pytest.raises(ConfigurationError, match=r"does not start: .*not a directory"):
        await server.start()
    assert server.pid == 0


@pytest.mark.slow
async def test_a_server_ends_when_its_parent_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(await parent.stdout.readline()))
    assert child.is_running()
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, [child], 10)
    assert not alive
