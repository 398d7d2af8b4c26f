"""A real mosquitto as a child process, and its own clients."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from chappe.app import Hub
from chappe.bridges.mqtt.address import Address
from chappe.bridges.mqtt.bridge import MqttBridge, Options
from chappe.bridges.mqtt.topics import parse
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.testing.broker_probe import Probe
from chappe.testing.hub_process import free_port

_START_S = 20.0
#: Persistent sessions keep everything that comes while their client is away, QoS 0 included.
KEEPS_ALL = ("persistence true", "max_queued_messages 0", "max_inflight_messages 0", "queue_qos0_messages true")
OPEN = ("allow_anonymous true",)


def program(name: str) -> str:
    """Return the path of a program; Debian keeps the broker where only root looks."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed: apt-get install mosquitto mosquitto-clients"
    return found


class Mosquitto:
    """One broker; its folder, and so what it keeps on disk, lives until `end`."""

    def __init__(self, *lines: str) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="chappe-mosquitto-"))
        # Started by root it gives its rights up, to whom the folder of `mkdtemp` is closed.
        common = (f"listener {self.port} 127.0.0.1", "user root", f"persistence_location {self.folder}/")
        logs = (f"log_dest file {self.folder}/log", "log_type all")
        (self.folder / "conf").write_text("\n".join([*common, *logs, *lines, ""]))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        command = [program("mosquitto"), "-c", str(self.folder / "conf")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: it writes down what it keeps."""
        self._end(signal.SIGTERM)

    def end(self) -> None:
        """Kill it and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text(errors="replace")

    def confirmed_by(self, client_id: str) -> set[str]:
        """Return the topics of messages of QoS 1 that a client has confirmed, by the log, over all its connections."""
        sent: dict[str, str] = {}
        confirmed = set()
        pattern = re.compile(
            rf"Sending PUBLISH to {client_id} \(d\d, q1, r\d, m(\d+), '([^']*)'|PUBACK from {client_id} \(Mid: (\d+)"
        )
        for mid, topic, acknowledged in pattern.findall(self.log):
            if mid:
                sent[mid] = topic
            elif acknowledged in sent:
                confirmed.add(sent.pop(acknowledged))
        return confirmed

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def mosquitto(*lines: str) -> Iterator[Mosquitto]:
    """Run a broker."""
    server = Mosquitto(*(lines or OPEN))
    try:
        yield server
    finally:
        server.end()


async def say(server: Mosquitto, topic: str, *options: str, text: str | None = None, data: bytes = b"") -> None:
    """Publish with mosquitto_pub: a text, or bytes as they are."""
    content = ("-m", text) if text is not None else ("-s",) if data else ("-n",)
    command = [program("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(server.port), "-t", topic, *content, *options]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE if data else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate(data or None)
    assert process.returncode == 0, output.decode()


class Ears:
    """mosquitto_sub, which writes down what it hears: `topic qos retained payload in hex`."""

    def __init__(self, server: Mosquitto, topic: str, *options: str) -> None:
        self._path = Path(tempfile.mkdtemp(dir=server.folder)) / "heard"
        self._file = self._path.open("wb")
        self._server = server
        self._id = f"ears-{self._path.parent.name}" if "-i" not in options else options[options.index("-i") + 1]
        given = options if "-i" in options else ("-i", self._id, *options)
        command = [program("mosquitto_sub"), "-h", "127.0.0.1", "-p", str(server.port), "-t", topic, *given]
        self._process = subprocess.Popen([*command, "-F", "%t %q %r %x"], stdout=self._file, stderr=self._file)

    @property
    def lines(self) -> list[tuple[str, int, bool, bytes]]:
        """What came: topic, QoS, whether it came with the retain flag, payload."""
        # A line that is being written is not there yet.
        text = self._path.read_text().rpartition("\n")[0]
        parts = [line.split(" ") for line in text.splitlines() if line.count(" ") == 3]
        return [(topic, int(qos), retained == "1", bytes.fromhex(payload)) for topic, qos, retained, payload in parts]

    @property
    def payloads(self) -> list[bytes]:
        """The payloads that came."""
        return [line[3] for line in self.lines]

    @property
    def listens(self) -> bool:
        """Whether the broker has confirmed the subscription."""
        return f"Sending SUBACK to {self._id}" in self._server.log

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._file.close()


@contextlib.asynccontextmanager
async def ears(server: Mosquitto, topic: str, *options: str) -> AsyncIterator[Ears]:
    """Listen with mosquitto_sub, from the moment the block begins."""
    heard = Ears(server, topic, *options)
    try:
        await until(lambda: heard.listens, "mosquitto_sub")
        yield heard
    finally:
        heard.end()


async def until(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Wait for a condition."""
    await Probe.until(Probe(None, asyncio.sleep, timeout_s), condition, what)  # type: ignore[arg-type]


def open_hub(broker: str | None = None, level: Level = Level.RECOVERABLE, history: int = 10_000) -> Hub:
    """Return a hub whose channels keep a history."""
    namespace = Namespace(
        name="default", level=level, history_count=history, history_age_s=3_600, subscribe=Access.ANONYMOUS
    )
    return Hub(dev=True, broker=broker, namespaces=[namespace])


def options(server: Mosquitto, *topics: str, name: str = "home", **changes: object) -> Options:
    """Return what a bridge to a broker is made of; it comes back quickly."""
    address = {key: changes.pop(key) for key in tuple(changes) if key in Address.__struct_fields__}
    place = Address(**{"host": "127.0.0.1", "port": server.port, **address})  # type: ignore[arg-type]
    return Options(
        **{"name": name, "address": place, "mappings": tuple(parse(topics)), "reconnect_max_ms": 50, **changes}  # type: ignore[arg-type]
    )


@contextlib.asynccontextmanager
async def bridged(
    given: Options, hub: Hub | None = None, wait: Callable[[MqttBridge], Awaitable[None]] | None = None
) -> AsyncIterator[tuple[Hub, MqttBridge]]:
    """Run a hub with a bridge, connected unless told how to wait."""
    hub = hub or open_hub()
    await hub.start()
    bridge = MqttBridge(hub.core, given)
    bridge.start()
    try:
        if wait is None:
            await until(lambda: bridge.is_connected, "the bridge")
        else:
            await wait(bridge)
        yield hub, bridge
    finally:
        await bridge.stop()
        await hub.stop()
