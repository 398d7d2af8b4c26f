"""Logins and certificates: accepted, or refused by the name of the reason."""

import asyncio
import contextlib
import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest
import websockets.asyncio.server

from chappe.bridges.mqtt.address import Address
from chappe.bridges.mqtt.bridge import MqttBridge
from chappe.bridges.mqtt.line import Line
from chappe.bridges.mqtt.refusal import RefusalError
from tests.bridges.mqtt.authority import Authority
from tests.bridges.mqtt.mosquitto import OPEN, Mosquitto, bridged, ears, mosquitto, options, program, say, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("passwords") / "passwords"
    file.touch()
    subprocess.run([program("mosquitto_passwd"), "-b", str(file), "ada", "lovelace"], check=True, capture_output=True)
    return file


async def refused(address: Address) -> RefusalError:
    line = Line(address, "tester", keeps=False, heard=lambda arrival: None, confirmed=lambda *told: None)
    try:
        with pytest.raises(RefusalError) as found:
            await line.open()
    finally:
        await line.close()
    return found.value


@VERSIONS
async def test_a_wrong_password_is_named_and_a_right_one_lets_in(version: str, passwords: Path) -> None:
    with mosquitto("allow_anonymous false", f"password_file {passwords}") as server:
        place = {"version": version, "username": "ada"}
        async with bridged(options(server, "a out 1", password="lovelace", **place)) as (_, bridge):
            assert bridge.status().problem == ""
        for password in ("byron", ""):
            address = options(server, "a out 1", password=password, **place).address
            refusal = await refused(address)
            assert refusal.kind == "login"
            assert "authori" in refusal.text.lower() or "password" in refusal.text.lower()


async def test_a_refused_bridge_says_so_comes_again_and_tells_no_secret(
    passwords: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with mosquitto("allow_anonymous false", f"password_file {passwords}") as server:
        given = options(server, "a out 1", username="ada", password="not-hers")

        async def told(bridge: MqttBridge) -> None:
            await until(lambda: bridge.status().problem, "the reason")

        async with bridged(given, wait=told) as (_, bridge):
            status = bridge.status()
            assert (status.state, status.problem.split(":")[0]) == ("connecting", "the broker refuses the login")
            assert "not-hers" not in caplog.text + str(status)
            assert caplog.text.count("refuses the login") == 1


async def test_a_certificate_of_somebody_else_is_refused_unless_any_is_believed(authority: Authority) -> None:
    with mosquitto(*OPEN, *authority.lines()) as server:
        refusal = await refused(Address(host="127.0.0.1", port=server.port, tls=True))
        assert refusal.kind == "certificate"
        assert "self-signed" in refusal.text or "self signed" in refusal.text
        refusal = await refused(Address(host="localhost", port=server.port, tls=True, ca_file=str(authority.ca)))
        assert (refusal.kind, "localhost" in refusal.text.lower()) == ("certificate", True)
        for changes in ({"ca_file": str(authority.ca)}, {"insecure": True}):
            async with bridged(options(server, "a out 1", tls=True, **changes)) as (hub, bridge):
                await hub.publish("a", "over TLS")
                await until(lambda: bridge.status().counts["sent"] == 1, "the message")


async def test_a_client_certificate_is_shown_and_its_absence_is_named(authority: Authority) -> None:
    with mosquitto(*OPEN, *authority.lines(client=True)) as server:
        place: dict[str, Any] = {"tls": True, "ca_file": str(authority.ca)}
        refusal = await refused(Address(host="127.0.0.1", port=server.port, **place))
        assert refusal.kind in ("tls", "closed")
        shown = {"cert_file": f"{authority.client}.pem", "key_file": f"{authority.client}.key"}
        async with bridged(options(server, "a in 1", **place, **shown)) as (_, bridge):
            message = ["-t", "a", "-m", "signed", "-q", "1", "-h", "127.0.0.1", "-p", str(server.port)]
            files = ["--cafile", authority.ca, "--cert", shown["cert_file"], "--key", shown["key_file"]]
            await asyncio.to_thread(subprocess.run, [program("mosquitto_pub"), *message, *map(str, files)], check=True)
            await until(lambda: bridge.status().counts["received"] == 1, "the message")


async def test_a_broker_is_reached_over_websocket() -> None:
    """Debian's mosquitto listens for WebSocket on no loopback address: a gateway of `websockets` stands before it."""
    with mosquitto() as server:

        async def forward(client: websockets.asyncio.server.ServerConnection) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

            async def back() -> None:
                while data := await reader.read(65_536):
                    await client.send(data)

            task = asyncio.create_task(back())
            try:
                with contextlib.suppress(websockets.exceptions.ConnectionClosed):
                    async for data in client:
                        assert isinstance(data, bytes)
                        writer.write(data)
            finally:
                task.cancel()
                writer.close()
                await asyncio.gather(task, writer.wait_closed(), return_exceptions=True)

        subprotocols = [websockets.Subprotocol("mqtt")]
        async with websockets.asyncio.server.serve(forward, "127.0.0.1", 0, subprotocols=subprotocols) as gateway:
            (listening,) = gateway.sockets
            place = {"port": listening.getsockname()[1], "websocket_path": "/mqtt"}
            async with ears(server, "a") as heard, bridged(options(server, "a both 1", **place)) as (hub, bridge):
                await hub.publish("a", "over WebSocket")
                await until(lambda: heard.payloads == [b"over WebSocket"], "the message")
                await say(server, "a", text="and back")
                await until(lambda: bridge.status().counts["received"] == 1, "the answer")


async def test_nobody_there_and_no_tls_there_are_told_apart() -> None:
    server = Mosquitto(*OPEN)
    try:
        refusal = await refused(Address(host="127.0.0.1", port=server.port, tls=True))
        assert refusal.kind in ("tls", "unreachable", "closed")
        server.kill()
        refusal = await refused(Address(host="127.0.0.1", port=server.port))
        assert (refusal.kind, "refused" in refusal.text) == ("unreachable", True)
    finally:
        server.end()


async def test_a_subscription_that_is_refused_is_told(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite allowed/#\n")
    with mosquitto(*OPEN, f"acl_file {acl}") as server:
        async with ears(server, "allowed/#") as heard, bridged(options(server, "allowed/# both 1")) as (hub, bridge):
            await hub.publish("allowed/a", 1)
            await until(lambda: heard.lines, "what is allowed")
        async with bridged(options(server, "other out 1")) as (hub, bridge):
            await hub.publish("other", 1)
            await until(lambda: bridge.status().counts["rejected"] == 1, "the refusal")
            assert bridge.status().counts["waiting"] == 0
