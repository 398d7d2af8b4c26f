"""A hub inside a program of your own: start, publish, look, stop."""

import asyncio

import chappe

hub = chappe.Hub(dev=True)


@hub.on_start
async def started() -> None:
    print("start")


@hub.on_connect
async def connected(session: chappe.Session) -> None:
    print("connect", session.name)


@hub.on_disconnect
async def disconnected(session: chappe.Session, code: int) -> None:
    print("disconnect", session.name, code)


@hub.on_error
async def failed(error: Exception) -> None:
    print("error", error)


@hub.on_stop
async def stopped() -> None:
    print("stop")


async def main() -> None:
    server = chappe.Server(hub, port=0)
    await server.start()
    async with chappe.connect(f"{server.url}/ws", name="Ada") as client:
        client.on("message", lambda data: print("message", data))
        for session in hub.sessions:
            await session.send({"only": "you"})
        await client.ping()
    await server.stop()


asyncio.run(main())
