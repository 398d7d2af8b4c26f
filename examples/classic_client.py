"""A chat client for the `classic` protocol, from its description alone: any WebSocket library will do.

python examples/classic_client.py Ada [ws://127.0.0.1:8080/]
"""

import asyncio
import json
import sys

import websockets


async def main(name: str, url: str = "ws://127.0.0.1:8080/") -> None:
    """Log in, print what arrives, send what is typed."""
    async with websockets.connect(url) as connection:
        await connection.send(json.dumps({"type": "login", "content": name, "username": name}))

        async def speak() -> None:
            while line := await asyncio.to_thread(sys.stdin.readline):
                if line.strip():
                    await connection.send(json.dumps({"type": "message", "content": line.strip(), "username": name}))
            await connection.close()

        speaking = asyncio.create_task(speak())
        async for frame in connection:
            message = json.loads(frame)
            print(
                message["type"], message.get("username") or message.get("users"), message.get("content", ""), flush=True
            )
        speaking.cancel()


asyncio.run(main(*sys.argv[1:]))
