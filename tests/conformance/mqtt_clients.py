"""MQTT clients that we did not write, each behind the same few words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
import gmqtt  # type: ignore[import-untyped]
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from chappe.app import Hub

JS = Path(__file__).resolve().parents[2] / "clients" / "js"
#: How long anything may take that a test waits for, seconds.
PATIENCE_S = 20.0


class Message(NamedTuple):
    """What came."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Address(NamedTuple):
    """Where a hub listens."""

    tcp: int
    http: int


class Foreign:
    """One connection of a client.

    Attributes:
        version: 4 (3.1.1) or 5.
        present: whether the hub had its session.
        is_over: it lost its connection, and needs no goodbye.
    """

    def __init__(self, address: Address, version: int, hub: Hub) -> None:
        self.address = address
        self.hub = hub
        self.version = version
        self.present = self.is_over = False
        self.came: asyncio.Queue[Message] = asyncio.Queue()

    async def connect(self, client_id: str, *, keep: bool = False, will: str = "") -> None:
        """Connect; with `keep` to a session that stays, `will` is its topic."""
        raise NotImplementedError

    async def subscribe(self, name: str, qos: int) -> int:
        """Subscribe; return the QoS that was granted."""
        raise NotImplementedError

    async def publish(self, topic: str, payload: str, qos: int, *, retain: bool = False) -> None:
        """Publish, and wait for what acknowledges it."""
        raise NotImplementedError

    async def cut(self) -> None:
        """Lose the connection without a goodbye."""
        raise NotImplementedError

    async def close(self) -> None:
        """Say goodbye."""
        raise NotImplementedError

    async def lose(self) -> None:
        """Lose the connection, and need no goodbye."""
        self.is_over = True
        await self.cut()

    async def next(self) -> Message:
        """Return the next message."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.came.get()


class Paho(Foreign):
    """paho-mqtt."""

    async def connect(self, client_id: str, *, keep: bool = False, will: str = "") -> None:
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[bool] = loop.create_future()
        options: dict[str, Any] = {"clean_session": not keep} if self.version == 4 else {}
        client = self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion(self.version), **options
        )
        self._granted: asyncio.Queue[int] = asyncio.Queue()

        def tell(call: Any, *arguments: Any) -> None:
            loop.call_soon_threadsafe(call, *arguments)

        client.on_connect = lambda c, u, flags, code, props: tell(connected.set_result, flags.session_present)
        client.on_subscribe = lambda c, u, mid, codes, props: tell(self._granted.put_nowait, codes[0].value)
        client.on_message = lambda c, u, m: tell(
            self.came.put_nowait, Message(m.topic, bytes(m.payload), m.qos, m.retain)
        )
        client.reconnect_delay_set(60, 60)
        if will:
            client.will_set(will, "gone", 1)
        if self.version == 5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 600 if keep else 0
            client.connect("127.0.0.1", self.address.tcp, clean_start=not keep, properties=properties)
        else:
            client.connect("127.0.0.1", self.address.tcp)
        client.loop_start()
        async with asyncio.timeout(PATIENCE_S):
            self.present = await connected

    async def subscribe(self, name: str, qos: int) -> int:
        self._client.subscribe(name, qos)
        async with asyncio.timeout(PATIENCE_S):
            return await self._granted.get()

    async def publish(self, topic: str, payload: str, qos: int, *, retain: bool = False) -> None:
        info = self._client.publish(topic, payload, qos, retain)
        await asyncio.to_thread(info.wait_for_publish, PATIENCE_S)

    async def cut(self) -> None:
        # As a crash: the thread stops, and the socket closes without a word.
        await asyncio.to_thread(self._client.loop_stop)
        self._client.socket().close()  # type: ignore[union-attr]

    async def close(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


class Aiomqtt(Foreign):
    """aiomqtt, of version 5 and 3.1.1."""

    async def connect(self, client_id: str, *, keep: bool = False, will: str = "") -> None:
        protocol = aiomqtt.ProtocolVersion.V5 if self.version == 5 else aiomqtt.ProtocolVersion.V311
        options: dict[str, Any] = {"clean_session": not keep}
        if self.version == 5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 600 if keep else 0
            options = {"clean_start": not keep, "properties": properties}
        self._client = aiomqtt.Client(
            "127.0.0.1",
            self.address.tcp,
            identifier=client_id,
            protocol=protocol,
            will=aiomqtt.Will(will, "gone", 1) if will else None,
            **options,
        )
        await self._client.__aenter__()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._client.messages:
            self.came.put_nowait(
                Message(str(message.topic), bytes(message.payload or b""), message.qos, bool(message.retain))
            )

    async def subscribe(self, name: str, qos: int) -> int:
        codes = await self._client.subscribe(name, qos)
        granted = codes[0]
        return granted if isinstance(granted, int) else granted.value

    async def publish(self, topic: str, payload: str, qos: int, *, retain: bool = False) -> None:
        await self._client.publish(topic, payload, qos, retain)

    async def cut(self) -> None:
        carrier: Any = self.hub.mqtt.sessions.live[self._client.identifier].carrier
        carrier.abort()
        await asyncio.gather(self._reading, return_exceptions=True)
        with contextlib.suppress(aiomqtt.MqttError):
            await self._client.__aexit__(None, None, None)

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._client.__aexit__(None, None, None)


class Gmqtt(Foreign):
    """gmqtt."""

    async def connect(self, client_id: str, *, keep: bool = False, will: str = "") -> None:
        message = gmqtt.Message(will, "gone", qos=1) if will else None
        expiry = {"session_expiry_interval": 600} if keep else {}
        client = self._client = gmqtt.Client(client_id, clean_session=not keep, will_message=message, **expiry)
        client.set_config({"reconnect_retries": 0})
        self._granted: asyncio.Queue[int] = asyncio.Queue()

        def came(c: Any, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
            self.came.put_nowait(Message(topic, bytes(payload), qos, bool(properties.get("retain"))))
            return 0

        client.on_message = came
        client.on_subscribe = lambda c, mid, codes, properties: self._granted.put_nowait(codes[0])
        await client.connect("127.0.0.1", self.address.tcp, version=self.version)

    async def subscribe(self, name: str, qos: int) -> int:
        self._client.subscribe(name, qos)
        async with asyncio.timeout(PATIENCE_S):
            return await self._granted.get()

    async def publish(self, topic: str, payload: str, qos: int, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain)

    async def cut(self) -> None:
        # Else it would come back at once.
        self._client._is_active = False
        self._client._connection._transport.abort()

    async def close(self) -> None:
        await self._client.disconnect()


class Mosquitto(Foreign):
    """mosquitto_sub and mosquitto_pub: one process for each thing that is done."""

    async def connect(self, client_id: str, *, keep: bool = False, will: str = "") -> None:
        self._id = client_id
        version = "mqttv5" if self.version == 5 else "mqttv311"
        self._base = ["-p", str(self.address.tcp), "-V", version]
        self._options = ["-i", client_id]
        if keep:
            self._options += ["-c", "-q", "1"] + (["-x", "600"] if self.version == 5 else [])
        if will:
            self._options += ["--will-topic", will, "--will-payload", "gone", "--will-qos", "1"]
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._will, self._keep = will, keep
        if will or keep:
            await self._start("nothing/at/all", 1)

    async def _start(self, name: str, qos: int) -> None:
        # Into a pipe it would write what it gets when it has 4 KiB.
        command = ["stdbuf", "-oL", "mosquitto_sub", *self._base, *self._options, "-d", "-t", name, "-q", str(qos)]
        command += ["-F", "> %t %q %r %p"]
        self._process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        self._subscribed = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(self._process))
        async with asyncio.timeout(PATIENCE_S):
            await self._subscribed

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said = line.decode().strip()
            if said.startswith("Subscribed (mid:"):
                if not self._subscribed.done():
                    self._subscribed.set_result(int(said.rpartition(" ")[2]))
            elif said.startswith("> "):
                _, topic, qos, retain, payload = said.split(" ", 4)
                self.came.put_nowait(Message(topic, payload.encode(), int(qos), retain == "1"))

    async def subscribe(self, name: str, qos: int) -> int:
        await self._end(kill=False)
        await self._start(name, qos)
        return int(self._subscribed.result())

    async def publish(self, topic: str, payload: str, qos: int, *, retain: bool = False) -> None:
        command = [
            "mosquitto_pub",
            *self._base,
            "-t",
            topic,
            "-m",
            payload,
            "-q",
            str(qos),
            *(["-r"] if retain else []),
        ]
        process = await asyncio.create_subprocess_exec(*command)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0

    async def cut(self) -> None:
        await self._end(kill=True)

    async def close(self) -> None:
        await self._end(kill=False)

    async def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None or self._reading is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        await process.wait()
        await self._reading


class MqttJs(Foreign):
    """The package `mqtt` in Node, by TCP or WebSocket."""

    scheme = "mqtt"

    async def connect(self, client_id: str, *, keep: bool = False, will: str = "") -> None:
        await self.start()
        self.present = bool((await self.ask("connect", **connecting(self, client_id, keep, will)))["present"])

    async def start(self) -> None:
        """Start the programme."""
        node = shutil.which("node")
        assert node is not None
        self._process = await asyncio.create_subprocess_exec(
            node,
            "test/programmes/mqtt.mjs",
            cwd=JS,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    @property
    def url(self) -> str:
        """Where the hub is."""
        if self.scheme == "ws":
            return f"ws://127.0.0.1:{self.address.http}/mqtt"
        return f"mqtt://127.0.0.1:{self.address.tcp}"

    async def subscribe(self, name: str, qos: int) -> int:
        return int((await self.ask("subscribe", filter=name, qos=qos))["granted"][0])

    async def publish(self, topic: str, payload: str, qos: int, *, retain: bool = False) -> None:
        await self.ask("publish", topic=topic, payload=payload, qos=qos, retain=retain)

    async def cut(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def close(self) -> None:
        await self.ask("close")
        await self._process.wait()
        await self._reading

    async def ask(self, command: str, **rest: Any) -> dict[str, Any]:
        """Let the programme do something; return what it says."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **rest}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            return await self._answers.get()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "topic" in said:
                self.came.put_nowait(Message(said["topic"], said["payload"].encode(), said["qos"], said["retain"]))
            else:
                self._answers.put_nowait(said)


class MqttJsWebSocket(MqttJs):
    """The same over WebSocket."""

    scheme = "ws"


def connecting(client: MqttJs, client_id: str, keep: bool, will: str) -> dict[str, Any]:
    """Return what `mqtt.connect` takes."""
    options: dict[str, Any] = {"clientId": client_id, "clean": not keep, "protocolVersion": client.version}
    if client.version == 5 and keep:
        options["properties"] = {"sessionExpiryInterval": 600}
    if will:
        options["will"] = {"topic": will, "payload": "gone", "qos": 1}
    return {"url": client.url, "options": options}


CLIENTS = {
    "paho-3": (Paho, 4),
    "paho-5": (Paho, 5),
    "aiomqtt-3": (Aiomqtt, 4),
    "aiomqtt-5": (Aiomqtt, 5),
    "gmqtt-3": (Gmqtt, 4),
    "gmqtt-5": (Gmqtt, 5),
    "mosquitto-3": (Mosquitto, 4),
    "mosquitto-5": (Mosquitto, 5),
    "mqttjs-3": (MqttJs, 4),
    "mqttjs-5": (MqttJs, 5),
    "mqttjs-ws-5": (MqttJsWebSocket, 5),
}
