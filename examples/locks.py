"""Only one client at a time works on a document."""

import asyncio

import chappe


async def main() -> None:
    async with chappe.connect("ws://127.0.0.1:8080/ws") as one, chappe.connect("ws://127.0.0.1:8080/ws") as two:
        async with one.lock("doc/1", ttl=30) as lock:
            print("one works with token", lock.token)
            try:
                await two.lock("doc/1")
            except chappe.ChappeError as error:
                print("two is refused:", error.code, "held by one:", error.detail["owner"] == one.session)
        later = await two.lock("doc/1", wait=5)
        print("two has it, its token is larger:", later.token > lock.token)
        await two.unlock("doc/1")


asyncio.run(main())
