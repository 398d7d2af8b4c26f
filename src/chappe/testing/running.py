"""A hub on a real port, for as long as a test needs it."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from chappe.app import Hub
from chappe.brokers.memory import MemoryBroker
from chappe.hub.namespaces import Namespace
from chappe.serving import Server
from chappe.testing.faulty_broker import Faults, FaultyBroker
from chappe.transports.event_loop import LoopClock


@dataclass(frozen=True)
class RunningHub:
    """A hub that accepts connections.

    Attributes:
        faulty: the broker that makes faults, if faults were asked for.
    """

    hub: Hub
    server: Server
    faulty: FaultyBroker | None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.server.port

    @property
    def mqtt_port(self) -> int:
        """The port of MQTT, if it was asked for."""
        assert self.server.mqtt_port is not None
        return self.server.mqtt_port

    @property
    def url(self) -> str:
        """Where the console and the API are: `http://127.0.0.1:PORT`."""
        return self.server.url

    @property
    def ws_url(self) -> str:
        """Where chappe.v1 is spoken: `ws://127.0.0.1:PORT/ws`."""
        return "ws" + self.url.removeprefix("http") + "/ws"


@contextlib.asynccontextmanager
async def running_hub(
    hub: Hub | None = None,
    *,
    namespaces: Iterable[Namespace] | None = None,
    faults: Faults | None = None,
    seed: int = 0,
    mqtt: bool = False,
) -> AsyncIterator[RunningHub]:
    """Serve a hub on a free port of loopback until the block ends; then drain it.

    Args:
        hub: the hub to serve, not started yet; by default one that is open to everybody (`--dev`).
        namespaces: of that default hub.
        faults: put a `FaultyBroker` with these under that default hub.
        seed: of the faults.
        mqtt: listen for MQTT too, on another free port.
    Raises:
        ValueError: a hub was given together with options of the default one.
    """
    if hub is not None and (namespaces is not None or faults is not None):
        raise ValueError("a hub came with namespaces or faults, expected either: give them to the hub")
    faulty = None
    if faults is not None:
        clock = LoopClock()
        faulty = FaultyBroker(MemoryBroker(clock, os.urandom), clock, seed, faults)
    served = hub or Hub(dev=True, namespaces=namespaces, broker=faulty)
    server = Server(served, host="127.0.0.1", port=0, mqtt_port=0 if mqtt else None)
    await server.start()
    try:
        yield RunningHub(server.hub, server, faulty)
    finally:
        await server.stop()
