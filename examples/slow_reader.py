"""A reader that is slower than its channel, and still misses nothing that the channel keeps."""

import asyncio

import chappe


async def main() -> None:
    async with (
        chappe.connect("ws://127.0.0.1:8080/ws") as client,
        client.subscribe("measurements", queue_size=10, overflow="recover") as measurements,
    ):
        for number in range(50):
            await client.publish("measurements", number)
        taken = []
        async for publication in measurements:
            await asyncio.sleep(0.01)
            taken.append(publication.data)
            if publication.data == 49:
                break
        print("in order and complete:", taken == list(range(50)), "recovered:", measurements.recovered)


asyncio.run(main())
