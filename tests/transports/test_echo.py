"""`/echo` over a real socket."""

import time
from collections.abc import Callable

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chappe.hub.contracts import Claims
from chappe.hub.hub import HubCore
from tests.hub.harness import Tokens
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
