import asyncio
import tempfile

from chappe.testing import HubProcess, KillProgramme, Load


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        broker = f"sqlite://{folder}/hub.db"
        async with HubProcess("--dev", "--broker", broker) as hub, Load([hub.url]) as load:
            await KillProgramme(seed=7, kills=2).run(hub)
            await load.goes_on()
            verdict = await load.finish()
            print("clean:", verdict.clean, "recovered:", verdict.recovered > 0)


asyncio.run(main())
