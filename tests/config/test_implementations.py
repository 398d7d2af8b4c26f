"""A URL names a broker, or an error says what can be had."""

import os

import pytest

from chappe.app import Hub
from chappe.brokers.memory import MemoryBroker
from chappe.brokers.redis.broker import RedisBroker
from chappe.config import Settings, make_bridges, make_broker
from chappe.config.settings import RedisBridgeSettings
from chappe.model.errors import ChappeError, ConfigurationError
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


def test_bridges_are_made_from_pairs_of_channels() -> None:
    core = Hub(dev=True).core
    bridge = RedisBridgeSettings(channels=("legacy.news=news/a",))
    assert bridge.pairs() == {"legacy.news": "news/a"}
    assert len(make_bridges(Settings(redis_bridges={"legacy": bridge}), core)) == 1
    assert not make_bridges(Settings(), core)


@pytest.mark.parametrize("entry", ["news", "=news", "news=", "news=a/#"])
def test_what_is_no_pair_is_refused(entry: str) -> None:
    settings = Settings(redis_bridges={"legacy": RedisBridgeSettings(channels=(entry,))})
    with pytest.raises(ChappeError, match=r"expected redis.channel=channel|may not contain"):
        make_bridges(settings, Hub(dev=True).core)
