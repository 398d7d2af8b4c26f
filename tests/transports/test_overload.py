"""Overload: new sessions are refused while memory or the event loop suffers; those that are here notice nothing."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from chappe.app import Hub
from chappe.config import load
from chappe.model.limits import Limits
from chappe.serving import Server
from chappe.transports.admission import Admission
from chappe.transports.overload import Overload, available_bytes, container_limits, resident_bytes

MIB = 1_048_576


@asynccontextmanager
async def served(**limits: float) -> AsyncIterator[Server]:
    flags = {"server.dev": True, **{f"limits.{name}": value for name, value in limits.items()}}
    server = Server(Hub(settings=load(os.devnull, {}, flags).settings), port=0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.02)


def connect(server: Server) -> Any:
    return websockets.connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None)


async def echo(client: websockets.ClientConnection, number: int) -> None:
    await client.send(json.dumps({"type": "ping", "id": number}))
    assert str(number) in str(await client.recv())


async def refused_everywhere(server: Server) -> None:
    """See that each way in answers 503 and says when to come back, with a problem where there is a body for one."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        await connect(server)
    assert caught.value.response.status_code == 503
    assert int(caught.value.response.headers["Retry-After"]) >= 1
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in ("/events?channel=a", "/poll"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, 108)
            assert int(answer.headers["Retry-After"]) >= 1
        metrics = (await http.get("/metrics")).text
    assert "\nchappe_overloaded 1\n" in metrics
    assert 'chappe_connections_refused_total{reason="overload"} 3' in metrics


@pytest.mark.slow
async def test_a_hub_whose_memory_runs_out_refuses_newcomers_and_keeps_who_is_here() -> None:
    async with served(memory_bytes=resident_bytes() + 64 * MIB) as server, connect(server) as client:
        admission = server.hub._admission
        await echo(client, 1)
        hog = bytearray(b"x" * (96 * MIB))
        await until(lambda: admission.overload == "memory")
        await refused_everywhere(server)
        await echo(client, 2)
        del hog
        await until(lambda: not admission.overload)
        async with connect(server) as newcomer:
            await echo(newcomer, 3)


@pytest.mark.slow
async def test_a_hub_whose_loop_lags_refuses_newcomers_until_it_is_punctual() -> None:
    async with served(loop_lag_s=0.1) as server, connect(server) as client:
        admission, loop = server.hub._admission, asyncio.get_running_loop()
        blocked = True

        def block() -> None:
            # Whatever turn of the loop is measured, it is late.
            time.sleep(0.3)
            if blocked:
                loop.call_later(0, block)

        block()
        await until(lambda: admission.overload == "event loop")
        await echo(client, 1)
        blocked = False
        with pytest.raises(websockets.InvalidStatus):
            await connect(server)
        await until(lambda: not admission.overload)
        async with connect(server) as newcomer:
            await echo(newcomer, 2)


@pytest.mark.slow
async def test_one_slow_callback_is_no_overload() -> None:
    admission = Admission()
    overload = Overload(admission, Limits(loop_lag_s=0.1, memory_bytes=2**60))
    overload.start()
    time.sleep(0.5)  # noqa: ASYNC251
    await until(lambda: overload.lag_s > 0.1)
    assert not admission.overload
    overload.stop()


def test_without_a_limit_the_hub_takes_nine_tenths_of_what_there_is_for_each_process() -> None:
    whole, half = (Overload(Admission(), Limits(), processes).memory_limit_bytes for processes in (1, 2))
    assert 0.5 * available_bytes() < whole < available_bytes()
    assert half == pytest.approx(whole / 2, rel=0.2)
    assert Overload(Admission(), Limits(memory_bytes=7)).memory_limit_bytes == 7


def test_the_limits_of_containers_are_found_in_both_versions(tmp_path: Path) -> None:
    group = tmp_path / "system.slice" / "chappe.service"
    group.mkdir(parents=True)
    assert min(container_limits(tmp_path, "/system.slice/chappe.service")) == 2**60
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("2000000\n")
    assert min(container_limits(tmp_path, "/system.slice/chappe.service")) == 2_000_000
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1000000\n")
    assert min(container_limits(tmp_path, "")) == 1_000_000
