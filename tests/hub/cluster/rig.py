"""Hubs on one engine, in one process, with one clock."""

from random import Random
from typing import Any

from chappe.hub.cluster.nodes import BEAT_S, NODE_TTL_S
from chappe.hub.cluster.records import _KEPT, _channel
from chappe.hub.contracts import Append, Claims
from chappe.model.publication import Kind
from chappe.testing.fake_clock import FakeClock
from chappe.testing.shared_memory import NodeBroker, SharedMemory
from tests.hub.harness import Client, Tokens, World

#: After so many seconds without a word everybody takes a node for gone.
GONE_S = NODE_TTL_S + 2 * BEAT_S + 1
TOKENS = Tokens(ada=Claims(user="Ada"), blaise=Claims(user="Blaise"))


class Nodes:
    """Hubs on one engine, with one clock."""

    def __init__(self, count: int = 2) -> None:
        self.clock = FakeClock()
        self.engine = SharedMemory(self.clock, Random(7).randbytes)
        self.worlds: list[World] = []
        for _ in range(count):
            self.add()

    def add(self) -> World:
        number = len(self.worlds) + 1
        world = World(
            clock=self.clock,
            wrap=lambda _: self.engine.broker(),
            node=f"node000{number}",
            seed=number,
            authenticator=TOKENS,
        )
        self.worlds.append(world)
        self.pass_time(0.1)
        return world

    def way(self, number: int) -> NodeBroker:
        return self.engine.nodes[number]

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def kill(self, number: int) -> None:
        """End a node without a word."""
        self.way(number).cut()

    def beat_until(self, seconds: float) -> None:
        """Let time pass in small steps, so that everything in between happens."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)


def joined(client: Client, channel: str = "chat/lobby") -> Client:
    assert client.ask("subscribe", channel=channel, presence=True)["type"] == "reply"
    return client


def patiently(client: Client, kind: str, **fields: Any) -> Any:
    """Ask, and wait as long as a node has to answer another."""
    number = client.command(kind, **fields)
    client.world.clock.advance(6)
    return client.answer(number)


def ended(client: Client) -> int | None:
    return client.link.closed[0] if client.link.closed is not None else None


def names_in(client: Client, channel: str = "chat/lobby") -> list[str]:
    return sorted(member["name"] for member in client.ask("presence", channel=channel)["members"])


def overwrite(nodes: Nodes, key: str, payload: bytes) -> None:
    """Write a record past all nodes."""
    entry = Append(_channel(key), payload, Kind.BINARY, nodes.clock.wall_ms(), _KEPT)
    nodes.engine.inner.append([entry], lambda outcomes: None)
    nodes.pass_time(0.1)
