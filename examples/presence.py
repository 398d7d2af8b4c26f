"""Who is in a channel: now, and from now on."""

import asyncio

import chappe
from chappe.client import Join, Leave, PresenceState


async def main() -> None:
    async with (
        chappe.connect("ws://127.0.0.1:8080/ws", name="Watcher") as client,
        client.subscribe("chat/lobby", presence=True) as room,
    ):
        presence = await client.presence("chat/lobby")
        print("now:", presence.count, [member.name for member in presence.members], flush=True)
        async for item in room.items():
            match item:
                case Join(member):
                    print("came:", member.name, flush=True)
                case Leave(member):
                    print("went:", member.name, flush=True)
                case PresenceState():
                    print("here:", [member.name for member in room.members], flush=True)


asyncio.run(main())
