"""Subscribe, publish, and ask the hub something inside the loop.

python examples/client_news.py [ws://127.0.0.1:8080/ws]
"""

import asyncio
import sys

import chappe


async def main(url: str = "ws://127.0.0.1:8080/ws") -> None:
    """Publish three headlines and read them back."""
    async with chappe.connect(url, name="Ada") as client, client.subscribe("news", since="latest") as news:
        for number in range(3):
            await client.publish("news", {"headline": number})
        async for publication in news:
            page = await client.history("news", limit=1)
            print(publication.data, "of", page.position.offset, flush=True)
            if publication.data == {"headline": 2}:
                break


asyncio.run(main(*sys.argv[1:]))
