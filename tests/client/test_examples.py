"""The examples of the client run, and the how-to shows nothing else."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from chappe.app import Hub
from chappe.client.client import connect
from chappe.serving import Server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PAGES = [ROOT / "docs/how-to/python-client.md", ROOT / "docs/fr/how-to/python-client.md"]


async def output_of(example: str, url: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / example), url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("example", "path", "expected"),
    [
        ("client_news.py", "/ws", "{'headline': 2} of 3"),
        ("client_hostile_network.py", "/ws", "connected by websocket"),
        ("client_counter.py", "/ws", "19, 20]"),
        ("client_blocking.py", "/ws", "{'job': 1}"),
        ("client_websocket.py", "/echo", "b'\\x00\\xff'"),
        ("client_classic.py", "/", "Ada: hello"),
    ],
)
async def test_the_example_runs_against_a_hub(example: str, path: str, expected: str) -> None:
    server = Server(Hub(dev=True), port=0)
    await server.start()
    try:
        assert expected in await output_of(example, server.url.replace("http", "ws") + path)
    finally:
        await server.stop()


@pytest.mark.slow
async def test_the_example_that_survives_says_what_happened() -> None:
    server = Server(Hub(dev=True), port=0)
    await server.start()
    url, port = f"{server.url}/ws", server.port
    async with connect(url) as client:
        await client.publish("news", "before")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / "client_survives.py"), url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None

    async def until(text: str) -> str:
        assert process.stdout is not None
        while text not in (line := (await process.stdout.readline()).decode()):
            assert line, f"the example ended without saying {text!r}"
        return line

    await until("1 before")
    await server.stop()
    await until("disconnected 3001")
    server = Server(Hub(dev=True), port=port)
    await server.start()
    await until("publications may be missing")
    process.kill()
    await process.communicate()
    await server.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.parent.name)
def test_every_block_of_the_how_to_is_part_of_an_example(page: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    examples = "\n".join(path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("client_*.py")))
    shown = {_flat(line) for line in examples.splitlines()}
    assert blocks
    for block in blocks:
        missing = [line for line in block.splitlines() if _flat(line) not in shown]
        assert not missing, f"{page.name} shows what no example has: {missing}"


def _flat(line: str) -> str:
    """Leave the indentation out: a page shows part of a function."""
    return line.strip()
