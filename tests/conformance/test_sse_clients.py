"""Event streams read by clients of others, each with a resume from its last id: what they get is what was published."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import httpx_sse
import pytest
import requests
import requests_sse
import sseclient

from tests.protocols.sse.reader import EventReader
from tests.transports.sse_harness import served

#: Reads so many publications, with a `Last-Event-ID` if it has one; returns their data and the last id.
Read = Callable[[str, str, int], tuple[list[Any], str]]


def payloads(events: Any, count: int) -> tuple[list[Any], str]:
    """Take publications from events that have `data`, `id` and a name."""
    found = list(itertools.islice((event for event in events if event.event in ("message", None)), count))
    return [json.loads(event.data)["data"] for event in found], found[-1].id


def by_httpx(url: str, last_id: str, count: int) -> tuple[list[Any], str]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with (
        httpx.Client(trust_env=False, timeout=10) as client,
        httpx_sse.connect_sse(client, "GET", url, headers=headers) as source,
    ):
        return payloads(source.iter_sse(), count)


def by_sseclient(url: str, last_id: str, count: int) -> tuple[list[Any], str]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with requests.Session() as session:
        session.trust_env = False
        with session.get(url, stream=True, headers=headers, timeout=10) as response:
            return payloads(sseclient.SSEClient(response.iter_content(None)).events(), count)


def by_requests_sse(url: str, last_id: str, count: int) -> tuple[list[Any], str]:
    with requests.Session() as session:
        session.trust_env = False
        with requests_sse.EventSource(url, session=session, latest_event_id=last_id or None, timeout=10) as source:
            found = list(itertools.islice((event for event in source if event.type == "message"), count))
            return [json.loads(event.data)["data"] for event in found], found[-1].last_event_id


def by_curl(url: str, last_id: str, count: int) -> tuple[list[Any], str]:
    command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", "--max-time", "10", url]
    if last_id:
        command += ["--header", f"Last-Event-ID: {last_id}"]
    reader = EventReader()
    found: list[Any] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        while len(found) < count:
            line = curl.stdout.readline()
            assert line, "curl ended"
            found += [said for said in reader.feed(line) if said.name == "message"]
        curl.terminate()
    return [json.loads(said.data)["data"] for said in found], found[-1].id


@pytest.mark.parametrize("read", [by_httpx, by_sseclient, by_requests_sse, by_curl])
@pytest.mark.parametrize("channels", ["channel=a", "channel=a&channel=b"])
async def test_a_client_reads_a_stream_and_resumes_it(read: Read, channels: str) -> None:
    values: list[Any] = [{"é": 1}, "two\nlines\r\n", "", [3], None, 'quotes "', 7, 8]
    async with served(limits__sse_heartbeat_s=1.0) as server:
        url = f"{server.url}/events?{channels}"
        for value in values[:4]:
            await server.hub.publish("a", value)
        first, last_id = await asyncio.to_thread(read, f"{url}&since=10", "", 4)
        for value in values[4:]:
            await server.hub.publish("a", value)
        second, _ = await asyncio.to_thread(read, url, last_id, 4)
        assert first + second == values
        await server.until(lambda: not server.hub.core.sessions)


async def test_a_heartbeat_is_no_event_to_a_client_that_takes_blank_lines_for_events() -> None:
    async with (
        served(limits__sse_heartbeat_s=1.0) as server,
        httpx.AsyncClient(trust_env=False, timeout=10) as client,
        httpx_sse.aconnect_sse(client, "GET", f"{server.url}/events?channel=a") as source,
    ):
        events = source.aiter_sse()
        assert (await anext(events)).event == "subscribed"
        waiting = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait({waiting}, timeout=2.5)
        assert not done
        await server.hub.publish("a", 1)
        assert json.loads((await waiting).data)["data"] == 1
