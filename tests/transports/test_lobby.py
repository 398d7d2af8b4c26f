"""What the connections of a server share: who is let in, what is counted, what ends with it."""

import pytest

from chappe.model.limits import Limits
from chappe.transports.upgrade import Rejected
from tests.transports.front_door_harness import front_door


async def test_nobody_is_let_in_while_the_server_drains_or_is_full() -> None:
    async with front_door(connections_max=1) as server:
        server.lobby.admit("192.0.2.1")
        async with server.connect() as client:
            await client.ping()
            with pytest.raises(Rejected) as full:
                server.lobby.admit("192.0.2.1")
        server.lobby.draining = True
        with pytest.raises(Rejected) as draining:
            server.lobby.admit("192.0.2.1")
        assert (full.value.status, draining.value.status) == (503, 503)
        assert "shutting down" in draining.value.text


async def test_a_link_has_a_seat_from_when_it_enters_to_when_it_leaves() -> None:
    async with front_door(limits=Limits(connections_per_address=5, address_connects_per_s=0.0)) as server:
        async with server.connect("/echo") as client:
            await client.send("here")
            assert await client.recv() == "here"
            assert (len(server.lobby.links), server.lobby.admission.websockets.of("127.0.0.1")) == (1, 1)
            metrics = server.lobby.metrics()
            assert (metrics["chappe_links"], metrics["chappe_upgrades_total"]) == (1, 1)
            (link,) = server.lobby.links
        await client.wait_closed()
        link.abort()
        server.lobby.leave(link)
        server.lobby.leave(link)
        assert (len(server.lobby.links), server.lobby.admission.websockets.taken) == (0, 0)
