"""A lamp that speaks MQTT: it does what is said in house/lamp/set, and its state is retained in house/lamp.

python examples/mqtt_lamp.py [127.0.0.1 1883]     (needs aiomqtt: pip install "chappe[mqtt]")
"""

import asyncio
import sys

import aiomqtt


async def main(host: str = "127.0.0.1", port: str = "1883") -> None:
    """Be a lamp until the program is ended."""
    will = aiomqtt.Will("house/lamp", "gone", qos=1, retain=True)
    version = aiomqtt.ProtocolVersion.V5
    async with aiomqtt.Client(host, int(port), identifier="lamp", protocol=version, will=will) as client:
        await client.subscribe("house/lamp/set", qos=1)
        await client.publish("house/lamp", "off", qos=1, retain=True)
        print("ready", flush=True)
        async for message in client.messages:
            await client.publish("house/lamp", message.payload, qos=1, retain=True)


asyncio.run(main(*sys.argv[1:]))
