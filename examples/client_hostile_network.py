"""Reach a hub from a network that lets no WebSocket through, and save a phone's battery on the way.

python examples/client_hostile_network.py [ws://127.0.0.1:8080/ws]
"""

import asyncio
import sys

import chappe


async def main(url: str = "ws://127.0.0.1:8080/ws") -> None:
    """Publish and read over whatever gets through."""
    client = chappe.connect(url, heartbeat="mobile", batch_ms=200, batch_max=10)
    client.on("state", lambda state, reason: print(state, reason or "", flush=True))
    client.on("transport_changed", lambda old, new: print("from", old, "to", new, flush=True))
    async with client, client.subscribe("news") as news:
        print("connected by", client.transport, flush=True)
        await asyncio.gather(*(client.publish("news", number) for number in range(3)))
        async for publication in news:
            print(publication.data, flush=True)
            if publication.data == 2:
                break
        await client.background(True)


asyncio.run(main(*sys.argv[1:]))
