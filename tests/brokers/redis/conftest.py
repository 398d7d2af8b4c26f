"""Each test with the fixture `engine` runs on Redis and on Valkey."""

import secrets
from collections.abc import Iterator

import pytest

from tests.brokers.redis.engines import PROGRAMS, Engine, engine


@pytest.fixture(params=PROGRAMS, scope="session")
def shared_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine(request.param) as server:
        yield server


@pytest.fixture
def url(shared_engine: Engine) -> str:
    """Give a URL with a prefix of its own, on a server that other tests use too."""
    return f"{shared_engine.url}?prefix=t{secrets.token_hex(4)}"


@pytest.fixture(params=PROGRAMS)
def own_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Give a server that a test may do anything to; it keeps nothing on disk."""
    with engine(request.param) as server:
        yield server
