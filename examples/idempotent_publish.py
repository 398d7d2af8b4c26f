"""The same key twice: stored once, answered twice."""

import asyncio

import chappe


async def main() -> None:
    async with chappe.connect("ws://127.0.0.1:8080/ws", name="Shop") as client:
        first = await client.publish("orders", {"number": 7}, key="order-7")
        second = await client.publish("orders", {"number": 7}, key="order-7")
        print("same place:", first == second)
        page = await client.history("orders")
        print("stored:", len(page.publications))


asyncio.run(main())
