"""A switch that speaks chappe.v1, as browsers do: it turns the lamp of mqtt_lamp.py on and off again.

python examples/mqtt_switch.py [ws://127.0.0.1:8080/ws]
"""

import asyncio
import sys

import chappe


async def main(url: str = "ws://127.0.0.1:8080/ws") -> None:
    """Follow the lamp: its retained state comes first."""
    async with chappe.connect(url) as client, client.subscribe("house/lamp") as lamp:
        wanted = ["on", "off"]
        async for publication in lamp:
            print("the lamp is", publication.data, flush=True)
            if not wanted:
                break
            await client.publish("house/lamp/set", wanted.pop(0))


asyncio.run(main(*sys.argv[1:]))
