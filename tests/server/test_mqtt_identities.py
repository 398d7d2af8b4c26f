"""Who an MQTT client is by its certificate or token, and what `$SYS` tells to whom: with clients we did not write."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from chappe import Hub
from chappe.config import load
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Connect
from chappe.serving import Server
from tests.server.authority import Authority, Issued
from tests.server.certificate import Certificate
from tests.server.test_mqtt import Wire

SECRET = "0123456789abcdef0123456789abcdef"
PATIENCE_S = 20.0


def token(user: str, **claims: Any) -> str:
    return jwt.encode({"sub": user, "aud": "chappe", "exp": int(time.time()) + 60} | claims, SECRET, "HS256")


class Stage:
    """A hub that lets users in, by token or certificate, and its authorities.

    Attributes:
        trusted: whose certificates clients may show.
    """

    def __init__(self, folder: Path, server: Server, certificate: Certificate, trusted: Authority) -> None:
        self.folder = folder
        self.server = server
        self.certificate = certificate
        self.trusted = trusted

    async def mosquitto(self, kind: str, *arguments: str, cert: Issued | None = None) -> tuple[int, str]:
        """Run mosquitto_sub or mosquitto_pub; return how it ended and what it wrote."""
        port = self.server.mqtt_port if cert is None else self.server.mqtt_tls_port
        command = [f"mosquitto_{kind}", "-V", "mqttv5", "-h", "127.0.0.1", "-p", str(port), *arguments]
        if cert is not None:
            command += ["--cafile", self.certificate.cert, "--cert", cert.cert, "--key", cert.key]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()

    def context(self, cert: Issued | None) -> ssl.SSLContext:
        """Return what a client connects with that shows a certificate."""
        context = self.certificate.client()
        if cert is not None:
            context.load_cert_chain(cert.cert, cert.key)
        return context

    async def answer(self, cert: Issued | None, **connect: Any) -> int:
        """Return how CONNECT is answered by TLS."""
        assert self.server.mqtt_tls_port is not None
        wire = await Wire.open(self.server.mqtt_tls_port, self.context(cert))
        await wire.send(Connect("c", **connect))
        connack = await wire.next()
        assert isinstance(connack, packets.Connack)
        return connack.reason_code

    @property
    def users(self) -> list[str | None]:
        """Who is connected."""
        return [session.user for session in self.server.hub.sessions]


@contextlib.asynccontextmanager
async def stage(folder: Path, **flags: Any) -> AsyncIterator[Stage]:
    (folder / "secret").write_text(SECRET)
    certificate, authority = Certificate(folder), Authority(folder)
    settings = {
        "namespaces.default.subscribe": "user",
        "namespaces.default.publish": "user",
        "namespaces.default.level": "recoverable",
        "namespaces.default.history_count": 10,
        "namespaces.default.history_age_s": 60.0,
        "auth.hmac_secret_file": str(folder / "secret"),
        "auth.algorithms": ("HS256",),
        "auth.certificate_user": "cn",
        "server.cert": certificate.cert,
        "server.key": certificate.key,
        "server.client_ca": authority.cert,
        "server.client_cert": "optional",
        "server.drain_timeout_s": 1.0,
    } | {name.replace("__", "."): value for name, value in flags.items()}
    hub = Hub(settings=load("/dev/null", {}, settings).settings)
    server = Server(hub, "127.0.0.1", 0, mqtt_port=0, mqtt_tls_port=0)
    await server.start()
    try:
        yield Stage(folder, server, certificate, authority)
    finally:
        opened, Wire.opened = Wire.opened, []
        for wire in opened:
            wire.writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await wire.writer.wait_closed()
        await server.stop()


async def test_mosquitto_publishes_as_whom_its_certificate_names(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        sensor = on.trusted.issue("sensor-7")
        assert await on.mosquitto("pub", "-t", "house/t", "-m", "21", "-q", "1", cert=sensor) == (0, "")
        (publication,) = await on.server.hub.history("house/t")
        assert publication.sender is not None
        assert (publication.sender.user, publication.payload) == ("sensor-7", b"21")


async def test_paho_is_whom_its_certificate_names(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[int] = loop.create_future()
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.tls_set_context(on.context(on.trusted.issue("sensor-7")))

        def came(c: Any, u: Any, flags: Any, code: Any, properties: Any) -> None:
            loop.call_soon_threadsafe(connected.set_result, int(code.value))

        client.on_connect = came
        assert on.server.mqtt_tls_port is not None
        await asyncio.to_thread(client.connect, "127.0.0.1", on.server.mqtt_tls_port)
        client.loop_start()
        async with asyncio.timeout(PATIENCE_S):
            assert await connected == 0
        assert on.users == ["sensor-7"]
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


async def test_a_user_name_must_be_the_one_of_the_certificate(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        sensor = on.trusted.issue("sensor-7")
        assert await on.answer(sensor, user_name="sensor-8") == 0x87
        assert await on.answer(sensor, user_name="sensor-7") == 0


async def test_a_token_beside_a_certificate_says_otherwise(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        assert await on.answer(on.trusted.issue("sensor-7"), password=token("ada").encode()) == 0
        assert on.users == ["ada"]


@pytest.mark.parametrize("name", ["", "a/b", "sensor#"])
async def test_a_certificate_that_names_nobody_lets_nobody_in(name: str, tmp_path: Path) -> None:
    async with stage(tmp_path, auth__certificate_user="dns") as on:
        assert await on.answer(on.trusted.issue("sensor-7", *([name] if name else []))) == 0x86


async def test_without_a_certificate_nobody_is_known(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        assert await on.answer(None) == 0x86


async def test_certificates_of_others_are_refused_before_connect(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").issue("sensor-7")
    async with stage(tmp_path) as on:
        code, _ = await on.mosquitto("pub", "-t", "house/t", "-m", "21", "-q", "1", cert=stranger)
        assert code != 0
        assert await on.server.hub.history("house/t") == []


async def test_where_certificates_are_required_nobody_connects_without_one(tmp_path: Path) -> None:
    async with stage(tmp_path, server__client_cert="required") as on:
        assert on.server.mqtt_tls_port is not None
        with pytest.raises((OSError, ssl.SSLError, AssertionError)):
            await on.answer(None)
        assert await on.answer(on.trusted.issue("sensor-7")) == 0


async def test_mosquitto_reads_sys_as_an_operator_and_as_nobody_else(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        uptime = ("-t", "$SYS/broker/uptime", "-C", "1")
        code, said = await on.mosquitto("sub", "-u", "root", "-P", token("root", scope="operator"), *uptime)
        assert (code, said.strip().endswith("seconds")) == (0, True)
        code, said = await on.mosquitto("sub", "-u", "ada", "-P", token("ada"), *uptime)
        assert said == "All subscription requests were denied.\n"
        code, said = await on.mosquitto(
            "pub", "-d", "-u", "root", "-P", token("root", scope="operator"), "-t", uptime[1], "-m", "x", "-q", "1"
        )
        assert "135" in said or "not authorized" in said.lower()
