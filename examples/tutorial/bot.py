import asyncio

import chappe


async def main() -> None:
    async with (
        chappe.connect("ws://127.0.0.1:8080/ws", name="Clock") as client,
        client.subscribe("chat/lobby") as room,
    ):
        async for publication in room:
            if publication.data == "!time":
                await client.publish("chat/lobby", f"it is {publication.time:%H:%M} UTC")


asyncio.run(main())
