"""Enhanced authentication with clients that we did not write: mqtt.js answers a challenge, paho brings all at once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from chappe import Claims, ConfigurationError, Hub, MqttExchange, Refused
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Auth, AuthProperties, ConnectProperties
from chappe.testing import running_hub
from tests.conformance.mqtt_clients import PATIENCE_S, Address, MqttJs, connecting
from tests.server.test_mqtt import Wire

pytestmark = [pytest.mark.timeout(90)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mqtt_auth.py"
KEY = "a secret of the lamp"


def proof(challenge: bytes, key: str = KEY) -> bytes:
    return hmac.new(key.encode(), challenge, hashlib.sha256).digest()


def guarded() -> Hub:
    """Return the hub of the example, which knows lamps by their key, with one method more."""
    found = importlib.util.spec_from_file_location("mqtt_auth", EXAMPLE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    hub: Hub = module.hub

    @hub.mqtt_auth("PLAIN")
    async def plain(exchange: MqttExchange) -> Claims:
        user, _, password = exchange.data.partition(b"\0")
        assert exchange.address == "127.0.0.1"
        if password != KEY.encode():
            raise Refused(1001, "a wrong password")
        return Claims(user=user.decode())

    return hub


@pytest.mark.slow
@pytest.mark.parametrize("key", [KEY, "a guess"])
async def test_mqtt_js_answers_a_challenge(key: str) -> None:
    async with running_hub(guarded(), mqtt=True) as running:
        client = MqttJs(Address(running.mqtt_port, running.port), 5, running.hub)
        await client.start()
        said = await client.ask("connect", method="HMAC", key=key, **connecting(client, "lamp", False, ""))
        if key != KEY:
            assert said == {"refused": 0x87}
            await client.cut()
            return
        assert said == {"present": False, "mutual": True}
        assert [session.user for session in running.hub.sessions] == ["device.lamp"]
        assert await client.subscribe("house/#", 1) == 1
        await client.publish("house/lamp", "on", 1)
        assert (await client.next()).payload == b"on"
        await client.close()


@pytest.mark.parametrize(("password", "code"), [(KEY, 0), ("a guess", 0x87)])
async def test_paho_brings_all_that_a_method_needs_with_connect(password: str, code: int) -> None:
    async with running_hub(guarded(), mqtt=True) as running:
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[tuple[int, str]] = loop.create_future()

        def tell(found: tuple[int, str]) -> None:
            # It comes back, and is refused again.
            if not connected.done():
                connected.set_result(found)

        def came(c: Any, u: Any, flags: Any, reason: Any, properties: Any) -> None:
            said = getattr(properties, "AuthenticationMethod", "")
            loop.call_soon_threadsafe(tell, (reason.value, said))

        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.AuthenticationMethod = "PLAIN"
        properties.AuthenticationData = b"ada\0" + password.encode()
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.on_connect = came
        client.connect("127.0.0.1", running.mqtt_port, properties=properties)
        client.loop_start()
        async with asyncio.timeout(PATIENCE_S):
            assert await connected == (code, "" if code else "PLAIN")
        assert [session.user for session in running.hub.sessions] == ([] if code else ["ada"])
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


@pytest.mark.parametrize("transport", ["tcp", "late"])
async def test_a_client_authenticates_again(transport: str) -> None:
    async with running_hub(guarded(), mqtt=True) as running:
        wire = await Wire.open(running.mqtt_port)
        Wire.opened.remove(wire)

        async def challenged() -> bytes:
            asked = await wire.next()
            assert isinstance(asked, Auth)
            assert asked.reason_code == 0x18
            return asked.properties.authentication_data or b""

        async def answered(data: bytes) -> packets.Packet | None:
            await wire.send(Auth(0x18, AuthProperties("HMAC", data)))
            return await wire.next()

        await wire.send(packets.Connect("lamp", properties=ConnectProperties(authentication_method="HMAC")))
        connack = await answered(proof(await challenged()))
        assert isinstance(connack, packets.Connack)
        assert (connack.reason_code, connack.properties.authentication_method) == (0, "HMAC")
        await wire.send(Auth(0x19, AuthProperties("HMAC")))
        asked = await challenged()
        if transport == "late":
            # It leaves in the middle: the method hears of it and is done.
            wire.writer.close()
            async with asyncio.timeout(PATIENCE_S):
                while running.hub.sessions:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            return
        assert await answered(proof(asked)) == Auth(0, AuthProperties("HMAC", proof(proof(asked))))
        await wire.send(Auth(0x19, AuthProperties("HMAC")))
        refused = await answered(proof(await challenged(), "a guess"))
        assert isinstance(refused, packets.Disconnect)
        assert refused.reason_code == 0x87
        assert await wire.next() is None
        wire.writer.close()


async def test_a_user_that_no_rule_could_name_is_refused() -> None:
    hub = Hub(dev=True)

    @hub.mqtt_auth("ANY")
    async def anybody(exchange: MqttExchange) -> str:
        return exchange.data.decode()

    async with running_hub(hub, mqtt=True) as running:
        for name, code in ((b"a/b", 0x86), (b"", 0x86), (b"ada", 0)):
            wire = await Wire.open(running.mqtt_port)
            Wire.opened.remove(wire)
            asked = ConnectProperties(authentication_method="ANY", authentication_data=name)
            await wire.send(packets.Connect("c", properties=asked))
            connack = await wire.next()
            assert isinstance(connack, packets.Connack)
            assert connack.reason_code == code
            wire.writer.close()


def test_a_method_has_a_name_of_its_own() -> None:
    hub = guarded()
    for name in ("HMAC", ""):
        with pytest.raises(ConfigurationError):
            hub.mqtt_auth(name)(lambda exchange: exchange.ask())  # type: ignore[arg-type, return-value]
