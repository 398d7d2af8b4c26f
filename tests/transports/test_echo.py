"""`/echo` over a real socket."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chappe.hub.contracts import Claims
from chappe.hub.hub import HubCore
from chappe.model.limits import Limits
from tests.hub.harness import Tokens
from tests.transports.front_door_harness import front_door
from tests.transports.test_front_door import masked, upgrade


@pytest.mark.parametrize("message", ["", "héllo \U0001f600", b"", b"\x00\xff" * 1_000, "x" * 70_000])
async def test_ra_1_every_frame_returns_unchanged(message: str | bytes) -> None:
    async with front_door() as server, server.connect("/echo") as client:
        await client.send(message)
        assert await client.recv() == message


async def test_ra_1_a_closed_hub_echoes_nothing_to_strangers() -> None:
    async with front_door(anonymous=False) as server:
        with pytest.raises(InvalidStatus) as refused:
            await server.connect("/echo")
        assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    "revoke",
    [
        lambda hub: hub.revoke_here(None, None, "1", time.time() + 60),
        lambda hub: hub.revoke_here("Ada", None, None, time.time() + 60),
        # As another node tells it.
        lambda hub: hub.revocations.add([("token", "1", time.time() + 60, 0.0)], time.time()),
    ],
    ids=["token", "user", "elsewhere"],
)
async def test_a_revoked_credential_ends_its_echo_and_no_other(revoke: Callable[[HubCore], object]) -> None:
    # It went on for as long as its client liked: only sessions were looked through.
    tokens = Tokens(one=Claims(user="Ada", token_id="1"), other=Claims(user="Eve", token_id="2"))
    async with front_door(anonymous=False, authenticator=tokens) as server:

        def connect(token: str) -> websockets.connect:
            return server.connect("/echo", additional_headers={"Authorization": f"Bearer {token}"})

        async with connect("one") as one, connect("other") as other:
            for client in (one, other):
                await client.send("here")
                assert await client.recv() == "here"
            revoke(server.hub)
            with pytest.raises(ConnectionClosed):
                await one.recv()
            assert one.close_code == 3500
            await other.send("still here")
            assert await other.recv() == "still here"
        assert not server.hub.revocations.holders


@pytest.mark.parametrize("native", [True, False], ids=["native", "portable"])
async def test_an_echo_is_read_at_its_rate(native: bool) -> None:
    plane: Any = "native" if native else "portable"
    limits = Limits(messages_per_s=50.0, messages_burst=50, address_connects_per_s=0.0)
    async with front_door(limits=limits, data_plane=plane) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(upgrade(b"/echo"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(masked(b"x") * 200_000)
        told = 0
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                told += len(await asyncio.wait_for(reader.read(1 << 20), 0.1))
        writer.transport.abort()
        # One piece of 64 KiB may have come before reading stopped.
        assert told // 3 <= 65_536 // 7 + 50 + 2.0 * 50
