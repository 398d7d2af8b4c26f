"""A chat client for the `classic` protocol, from its description alone: python classic_client.py Ada [URL]."""

import asyncio
import json
import sys

import websockets


async def main(name: str, url: str = "ws://127.0.0.1:8080/") -> None:
    """Log in, print what arrives, send what is typed; an empty line is not sent, the end of input leaves."""
    typed: asyncio.Queue[str] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(sys.stdin, lambda: typed.put_nowait(sys.stdin.readline()))
    async with websockets.connect(url) as connection:
        await connection.send(json.dumps({"type": "login", "content": name, "username": name}))

        async def speak() -> None:
            while line := await typed.get():
                if line.strip():
                    await connection.send(json.dumps({"type": "message", "content": line.strip(), "username": name}))
            await connection.close()

        speaking = asyncio.create_task(speak())
        try:
            while True:
                message = json.loads(await connection.recv())
                print(*(message.get(part, "") for part in ("type", "username", "users", "content")), flush=True)
        except websockets.ConnectionClosed as closed:
            print("disconnected:", closed)
        speaking.cancel()


asyncio.run(main(*sys.argv[1:]))
