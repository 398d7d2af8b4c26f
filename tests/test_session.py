"""The public `Session`: what an application may ask of it and what it may not."""

import json

import pytest
import websockets

import chappe
from tests.test_app import ask, serving


async def test_a_close_code_that_no_application_may_send_is_refused_and_nothing_happens() -> None:
    hub = chappe.Hub(dev=True)
    async with serving(hub) as url, websockets.connect(url, proxy=None) as client:
        await ask(client, type="connect", name="Ada")
        (session,) = hub.sessions
        for code in (0, 999, 1_006, 1_015, 2_999, 5_000, 6_000):
            with pytest.raises(chappe.ChappeError, match=f"close code {code}, expected 1000 or 3000 to 4999"):
                await session.disconnect(code)
        await session.send("still there")
        assert json.loads(await client.recv())["data"] == "still there"
