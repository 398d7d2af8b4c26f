"""What aiomqtt must be like for a connection of ours, with a real mosquitto at the other end."""

import asyncio

import aiomqtt
import pytest

from chappe.bridges.mqtt.refusal import RefusalError
from tests.bridges.mqtt.ends import End
from tests.bridges.mqtt.mosquitto import OPEN, mosquitto, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def test_the_parts_of_aiomqtt_that_are_changed_are_there() -> None:
    for name in (
        "_on_connect",
        "_on_disconnect",
        "_on_message",
        "_on_publish",
        "_on_socket_open",
        "_on_socket_close",
        "_on_socket_register_write",
        "_on_socket_unregister_write",
        "_misc_loop",
    ):
        assert hasattr(aiomqtt.Client, name), name


async def test_a_cut_is_told_and_what_was_under_way_goes_on() -> None:
    with mosquitto(*OPEN) as server:
        end = End(server)
        await end.line.open()
        lost = asyncio.ensure_future(end.line.lost())
        server.kill()
        with pytest.raises(RefusalError) as refused:
            await lost
        assert refused.value.kind == "closed"
        assert not end.line.is_open
        with pytest.raises(RefusalError) as refused:
            await end.line.open()
        assert refused.value.kind == "unreachable"
        end.line.send("a", b"kept", 1, True, None)
        server.start()
        await end.line.open()
        await until(lambda: end.confirmed, "the confirmation")
        await end.line.close()


async def test_an_end_while_it_connects_leaves_no_connection_behind() -> None:
    with mosquitto(*OPEN) as server:
        end = End(server)
        opening = asyncio.create_task(end.line.open())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert not end.line.is_open
        assert end.line.paho.socket() is None
        await end.line.open()
        await end.line.follow([])
        await end.line.close()
        ended = ": Client tester "
        await until(lambda: server.log.count("New client connected") == server.log.count(ended), "the ends")
