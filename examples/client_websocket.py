"""Text and bytes to any WebSocket server, with reconnection.

python examples/client_websocket.py [ws://127.0.0.1:8080/echo]
"""

import asyncio
import sys

import chappe


async def main(url: str = "ws://127.0.0.1:8080/echo") -> None:
    """Send one text and some bytes to a server that returns them."""
    async with chappe.websocket.connect(url) as client:
        client.on("latency", lambda ms: print(f"a round trip takes {ms:.0f} ms", flush=True))
        await client.send("text")
        await client.send(b"\x00\xff")
        async for message in client:
            print(message, flush=True)
            if isinstance(message, bytes):
                break


asyncio.run(main(*sys.argv[1:]))
