"""Say something in a chat room over the classic protocol.

python examples/client_classic.py [ws://127.0.0.1:8080/]
"""

import asyncio
import sys

import chappe


async def main(url: str = "ws://127.0.0.1:8080/") -> None:
    """Enter, speak, and read what is said until it comes back."""
    async with chappe.classic.connect(url, "Ada") as room:
        room.on("join", lambda username: print(username, "joins", flush=True))
        await room.send("hello")
        async for message in room:
            if isinstance(message, chappe.classic.Message):
                print(f"{message.username}: {message.content}", flush=True)
                break


asyncio.run(main(*sys.argv[1:]))
