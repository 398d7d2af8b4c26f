"""A URL names a broker, or an error says what can be had."""

import os

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.brokers.redis.broker import RedisBroker
from chappe.config import make_broker
from chappe.model.errors import ConfigurationError
from chappe.testing.fake_clock import FakeClock


def test_memory_is_the_broker_of_this_process() -> None:
    assert isinstance(make_broker("memory://", FakeClock(), os.urandom), MemoryBroker)


@pytest.mark.parametrize(
    "url", ["redis://", "rediss://:pw@localhost/2?prefix=x", "redis+sentinel://a,b/hubs", "redis+cluster://a:7000"]
)
def test_redis_is_the_broker_that_hubs_share(url: str) -> None:
    assert isinstance(make_broker(url, FakeClock(), os.urandom), RedisBroker)


def test_a_wrong_redis_url_is_refused_before_anything_is_connected() -> None:
    with pytest.raises(ConfigurationError, match=r"broker\.url: the port is 'x'"):
        make_broker("redis://localhost:x", FakeClock(), os.urandom)


@pytest.mark.parametrize("url", ["sqlite:///hub.db", "nats://x"])
def test_a_broker_of_a_later_release_is_named_as_such(url: str) -> None:
    with pytest.raises(ConfigurationError, match="comes with a later release"):
        make_broker(url, FakeClock(), os.urandom)


@pytest.mark.parametrize("url", ["", "memory", "memory:", "http://x", "://"])
def test_anything_else_is_refused_with_what_was_expected(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected memory:// or redis://"):
        make_broker(url, FakeClock(), os.urandom)
