"""Two clients change one value and neither overwrites the other unseen."""

import asyncio

import chappe
from chappe.client.client import Client

URL = "ws://127.0.0.1:8080/ws"


async def add(client: Client, channel: str, amount: int) -> None:
    """Add to a number that others change too: read, compute, write if nobody was faster, else again."""
    while True:
        page = await client.history(channel, limit=1)
        value = page.publications[-1].data if page.publications else 0
        try:
            await client.publish(channel, value + amount, expect=page.position)
        except chappe.ChappeError as error:
            if error.code != chappe.Code.CONFLICT:
                raise
        else:
            return


async def main() -> None:
    async with chappe.connect(URL) as one, chappe.connect(URL) as two:
        await asyncio.gather(*(add(client, "stock/apples", 1) for client in (one, two) for _ in range(10)))
        page = await one.history("stock/apples", limit=1)
        print("20 additions give", page.publications[-1].data)


asyncio.run(main())
