"""Every behaviour of the hub is tested on the plain broker and on one that is late and leaves gaps."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.hub.harness import World


@pytest.fixture(params=["memory", "faulty"])
def make_world(request: pytest.FixtureRequest) -> Iterator[Callable[..., World]]:
    """Make hubs on one of the brokers; each ends with nothing unexpected in its log."""
    worlds: list[World] = []
    # Another pattern of lateness for each test, the same in each run.
    seed = zlib.crc32(request.node.nodeid.encode())

    def make(**options: Any) -> World:
        worlds.append(World(request.param, **{"seed": seed} | options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.settle()
        assert not world.errors, world.errors


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Make a hub with the usual namespaces and limits, open to everybody."""
    return make_world()
