import asyncio

import chappe
from chappe.testing import FaultProgramme, FaultProxy, running_hub


async def main() -> None:
    async with running_hub() as running, FaultProxy("127.0.0.1", running.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/ws"
        async with (
            chappe.connect(url, reconnect_interval_ms=50) as client,
            client.subscribe("news") as news,
        ):
            await client.publish("news", 1)
            proxy.cut()
            await client.publish("news", 2)
            proxy.follow(FaultProgramme(seed=7, cut_every_s=0.1, offline_s=0.05))
            for number in range(3, 21):
                await client.publish("news", number)
            proxy.follow(None)

            seen = [(await anext(news)).data for _ in range(20)]
            print("in order and complete:", seen == list(range(1, 21)))
            print("connections:", proxy.accepted > 1)


asyncio.run(main())
