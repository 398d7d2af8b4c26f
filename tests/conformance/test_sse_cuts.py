"""Event streams read by clients of others through cuts: each resumes with `Last-Event-ID` and misses nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx_sse
import pytest
import requests
import sseclient

from chappe.testing.fault_proxy import FaultProxy
from tests.protocols.sse.reader import EventReader
from tests.transports.sse_harness import served

JS = Path(__file__).resolve().parents[2] / "clients" / "js"
ROUNDS = 5
EACH = 4

#: Reads one connection to its end, however it ends: the data and the id of each publication.
Read = Callable[[str, dict[str, str]], Iterator[tuple[str, str]]]


def by_httpx(url: str, headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    with (
        httpx.Client(trust_env=False, timeout=10) as client,
        httpx_sse.connect_sse(client, "GET", url, headers=headers) as source,
    ):
        yield from ((event.data, event.id) for event in source.iter_sse() if event.event == "message")


def by_sseclient(url: str, headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    with requests.Session() as session:
        session.trust_env = False
        with session.get(url, stream=True, headers=headers, timeout=10) as response:
            for event in sseclient.SSEClient(response.iter_content(None)).events():
                if event.event == "message":
                    yield event.data, event.id or ""


def by_curl(url: str, headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", "--max-time", "20", url]
    command += [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    reader = EventReader()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        try:
            while line := curl.stdout.readline():
                yield from ((said.data, said.id) for said in reader.feed(line) if said.name == "message")
        finally:
            curl.terminate()


def over_cuts(read: Read, url: str, count: int, found: list[Any]) -> None:
    """Read so many publications, again and again from the last id; the first connection asks for what is old."""
    headers: dict[str, str] = {}
    while len(found) < count:
        try:
            for data, last_id in read(f"{url}&since=10", headers):
                found.append(json.loads(data)["data"])
                headers = {"Last-Event-ID": last_id}
                if len(found) == count:
                    return
        except (httpx.TransportError, requests.RequestException):
            continue


def by_eventsource(url: str, count: int, found: list[Any]) -> None:
    """Read so many publications with the package `eventsource`, which comes back by itself as a browser does."""
    command = ["node", "test/programmes/events.mjs", f"{url}&since=10"]
    with subprocess.Popen(command, cwd=JS, stdout=subprocess.PIPE) as node:
        assert node.stdout is not None
        while len(found) < count:
            line = node.stdout.readline()
            assert line, "node ended"
            found.append(json.loads(line)["data"])
        node.terminate()


def reading(read: Read) -> Callable[[str, int, list[Any]], None]:
    """Return what comes back by itself where a client leaves that to its caller."""
    return lambda url, count, found: over_cuts(read, url, count, found)


async def until_found(found: list[Any], count: int) -> None:
    """Wait until so many publications came, in a thread that tells nobody."""
    async with asyncio.timeout(20):
        while len(found) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("read", "rounds"),
    [
        pytest.param(reading(by_httpx), ROUNDS, id="httpx-sse"),
        pytest.param(reading(by_sseclient), ROUNDS, id="sseclient"),
        pytest.param(reading(by_curl), ROUNDS, id="curl"),
        # It waits as long as the hub asks for, 2 to 5 s.
        pytest.param(by_eventsource, 3, id="eventsource"),
    ],
)
async def test_a_reader_of_others_that_is_cut_misses_and_doubles_nothing(
    read: Callable[[str, int, list[Any]], None], rounds: int
) -> None:
    async with served() as server, FaultProxy("127.0.0.1", urlsplit(server.url).port or 0) as proxy:
        count = rounds * 2 * EACH
        found: list[Any] = []
        url = f"http://127.0.0.1:{proxy.port}/events?channel=a"
        reader = asyncio.create_task(asyncio.to_thread(read, url, count, found))
        for number in range(rounds):
            before = number * 2 * EACH
            for value in range(before, before + EACH):
                await server.hub.publish("a", value)
            await until_found(found, before + EACH)
            proxy.reset() if number % 2 else proxy.cut()
            # While nobody reads.
            for value in range(before + EACH, before + 2 * EACH):
                await server.hub.publish("a", value)
        await reader
        assert found == list(range(count))
        assert proxy.accepted > rounds
