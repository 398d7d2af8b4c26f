import asyncio

import chappe


async def main() -> None:
    async with chappe.connect("ws://127.0.0.1:8080/ws") as client, client.subscribe("news", since="latest") as news:
        await client.publish("news", {"hello": "world"})
        async for publication in news:
            print(publication.offset, publication.data, flush=True)


asyncio.run(main())
