"""The living room of docs/how-to/bridge-mqtt.md: its files and commands, with a real mosquitto."""

import asyncio
from pathlib import Path

import pytest

from tests.bridges.mqtt.mosquitto import Mosquitto, mosquitto, until
from tests.docs.library import ROOT
from tests.docs.test_examples import environment, serving, started

EXAMPLE = ROOT / "examples" / "living_room"
#: Files of the example: each is run here (test_examples.py asks).
FILES = {"chappe.toml", "sensors.sh", "lamp.sh", "switch.sh", "without_hub.sh"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def moved(name: str, server: Mosquitto) -> str:
    """Return a file of the example with the port of our broker."""
    text = (EXAMPLE / name).read_text("utf-8")
    text = text.replace("-h localhost", f"-h 127.0.0.1 -p {server.port}")
    return text.replace("localhost:1883", f"127.0.0.1:{server.port}").replace("localhost/", f"127.0.0.1:{server.port}/")


async def output(command: str, where: str = "") -> list[str]:
    """Run commands of a shell and return their lines."""
    variables = environment(**({"CHAPPE_URL": f"http://{where}"} if where else {}))
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", command, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return said.decode().splitlines()


def test_every_file_of_the_living_room_is_run_here() -> None:
    assert {file.name for file in EXAMPLE.iterdir()} == FILES


async def test_the_sensors_are_read_and_the_lamp_is_switched(tmp_path: Path) -> None:
    with mosquitto() as server:
        (tmp_path / "chappe.toml").write_text(moved("chappe.toml", server), "utf-8")
        async with serving("--dev", cwd=tmp_path) as where:
            await until(lambda: "Sending SUBACK to chappe-" in server.log, "the bridge")
            assert await output(moved("sensors.sh", server), where) == ["21.5", "48"]
            async with started("bash", "-c", "exec " + moved("lamp.sh", server), cwd=tmp_path) as lamp:
                await until(lambda: "maison/cuisine/lumiere (QoS 1)" in server.log, "the lamp")
                await output(moved("switch.sh", server), where)
                assert lamp.stdout is not None
                assert [await lamp.stdout.readline(), await lamp.stdout.readline()] == [b"ON\n", b"OFF\n"]


async def test_a_broker_is_looked_at_without_a_hub() -> None:
    with mosquitto() as server:
        (line,) = await output(moved("without_hub.sh", server))
        assert line == '{"topic": "maison/cuisine/lumiere", "data": "ON", "qos": 0, "retain": true}'
