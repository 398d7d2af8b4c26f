"""`/echo` over a real socket."""

import pytest
from websockets.exceptions import InvalidStatus

from tests.transports.front_door_harness import front_door


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
