"""Change shared state without losing anybody's change: compare-and-set, and a lock.

python examples/client_counter.py [ws://127.0.0.1:8080/ws]
"""

import asyncio
import sys

import chappe
from chappe.client import Client


async def add_one(client: Client, channel: str) -> int:
    """Publish the newest value plus one; whoever was faster makes us read again."""
    while True:
        page = await client.history(channel, limit=1)
        value = page.publications[-1].data + 1 if page.publications else 1
        try:
            await client.publish(channel, value, expect=page.position)
        except chappe.ChappeError as error:
            if error.code != chappe.Code.CONFLICT:
                raise
        else:
            return int(value)


async def main(url: str = "ws://127.0.0.1:8080/ws") -> None:
    """Count to twenty from four tasks at once."""
    async with chappe.connect(url) as client:
        values = await asyncio.gather(*(add_one(client, "counter") for _ in range(20)))
        print(sorted(values), flush=True)
        async with client.lock("report", ttl=10, wait=5) as lock:
            print("alone until", lock.expires, "with token", lock.token, flush=True)


asyncio.run(main(*sys.argv[1:]))
