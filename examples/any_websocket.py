"""A connection to any WebSocket server that comes back by itself."""

import asyncio

import chappe


async def main() -> None:
    client = chappe.websocket.connect("ws://127.0.0.1:8080/echo", reconnect_max_ms=5_000)
    client.on("disconnected", lambda code: print("lost:", code))
    client.on("reconnecting", lambda n, of: print("attempt", n))
    async with client:
        await client.send("hello")
        async for message in client:
            print("received:", message)
            break


asyncio.run(main())
