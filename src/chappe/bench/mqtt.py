"""Know the MQTT brokers that can be measured, the hub among them, and how a load is put to each."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chappe.bench.hub import hub
from chappe.bench.servers import PEERS, Kind, MissingPeer, Server, cache

TOPIC = "bench"
#: As clients usually ask for; the hub allows no more to those of version 5.
KEEP_ALIVE_S = 60
#: Messages under way in each pair: what the hub and mosquitto allow a client of QoS 1 is 20.
WINDOW = 16
#: Any will do, where a token says who it is; what it may not contain is a pattern.
_USER = "bench"

#: mosquitto at its best: nothing is written, nothing is logged, no queue is bounded, nothing waits for more bytes.
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_dest none
log_type none
connection_messages false
sys_interval 0
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
set_tcp_nodelay true
"""


def mqtt_hub(folder: Path) -> Server:
    """Return `chappe serve` by its port of MQTT; its files are written to a folder of its own."""
    server = hub(folder)
    (header,) = server.speech["idle"]["headers"]
    token = header.rpartition(" ")[2]
    ports = ("--port", "0", "--mqtt-port", "{port}")
    serve = server.command[: server.command.index("--port")]
    return dataclasses.replace(server, command=(*serve, *ports), speech=mqtt_speech(_USER, token))


def mqtt_speech(user: str = "", password: str = "") -> dict[Kind, dict[str, Any]]:
    """Return how each kind of load is put to a broker."""
    common = {"mqtt": 4, "user": user, "password": password, "keep_alive_s": KEEP_ALIVE_S}
    one_topic = {**common, "first": (TOPIC,), "topic": TOPIC}
    own_topic = {"first": (f"{TOPIC}/%i",), "topic": f"{TOPIC}/%i", "inflight": WINDOW}
    return {"fanout": one_topic, "pairs": {**common, **own_topic}, "idle": one_topic}


def find_mqtt(name: str) -> Server:
    """Return a broker by its name, ready to be started.

    Raises:
        MissingPeer: it is not installed.
        KeyError: there is no such broker.
    """
    return MQTT_FINDERS[name]()


def _mosquitto() -> Server:
    # Debian has it where only root's PATH leads.
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/local/sbin:/usr/sbin")
    if program is None:
        raise MissingPeer("mosquitto", "apt-get install mosquitto")
    told = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return Server(
        name="mosquitto",
        command=(program, "-c", "{folder}/mosquitto.conf"),
        speech=mqtt_speech(),
        version=told.partition("version ")[2].split("\n")[0].strip(),
        files={"mosquitto.conf": _MOSQUITTO},
    )


def _amqtt() -> Server:
    """Find it in an environment of its own, since what it needs must not decide what we do."""
    environment = cache() / "amqtt"
    program = environment / "bin" / "python"
    ask = "import importlib.metadata as m; print(m.version('amqtt'))"
    install = f"python3 -m venv {environment} && {environment}/bin/pip install amqtt"
    if not program.is_file():
        raise MissingPeer("amqtt", install)
    told = subprocess.run([program, "-c", ask], capture_output=True, text=True, check=False)
    if told.returncode:
        raise MissingPeer("amqtt", install)
    return Server(
        name="amqtt",
        command=(str(program), str(PEERS / "amqtt_broker.py"), "{port}"),
        speech=mqtt_speech(),
        version=told.stdout.strip(),
    )


#: Every broker to stand beside, in the order of the tables.
MQTT_FINDERS: dict[str, Callable[[], Server]] = {"mosquitto": _mosquitto, "amqtt": _amqtt}
