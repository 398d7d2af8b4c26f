"""A URL names a broker, or an error says what can be had."""

import os
from pathlib import Path

import pytest

from chappe.app import Hub
from chappe.brokers.memory import MemoryBroker
from chappe.brokers.redis.broker import RedisBroker
from chappe.brokers.sqlite import SqliteBroker
from chappe.config import Settings, make_bridges, make_broker
from chappe.config.settings import RedisBridgeSettings
from chappe.model.errors import ChappeError, ConfigurationError
from chappe.testing.fake_clock import FakeClock


def test_memory_is_the_broker_of_this_process() -> None:
    assert isinstance(make_broker("memory://", FakeClock(), os.urandom), MemoryBroker)


@pytest.mark.parametrize("url", ["", "memory", "memory:", "http://x", "://"])
def test_anything_else_is_refused_with_what_was_expected(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected one of memory://, "):
        make_broker(url, FakeClock(), os.urandom)


def test_a_file_is_the_durable_broker_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in (f"sqlite://{tmp_path}/hub.db", "sqlite://hub.db?sync=full"):
        broker = make_broker(url, FakeClock(), os.urandom)
        assert isinstance(broker, SqliteBroker)
        assert broker.durable
    assert not list(tmp_path.iterdir())


def test_nats_is_a_broker_that_has_not_connected_yet() -> None:
    broker = make_broker("nats://secret@localhost/?storage=memory", FakeClock(), os.urandom)
    assert broker.name == "nats"
    assert not broker.durable


def test_what_a_nats_url_cannot_say_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigurationError, match="option 'color' is not known"):
        make_broker("nats://localhost/?color=red", FakeClock(), os.urandom)


@pytest.mark.parametrize(
    "url", ["redis://", "rediss://:pw@localhost/2?prefix=x", "redis+sentinel://a,b/hubs", "redis+cluster://a:7000"]
)
def test_redis_is_the_broker_that_hubs_share(url: str) -> None:
    assert isinstance(make_broker(url, FakeClock(), os.urandom), RedisBroker)


def test_a_wrong_redis_url_is_refused_before_anything_is_connected() -> None:
    with pytest.raises(ConfigurationError, match=r"broker\.url: the port is 'x'"):
        make_broker("redis://localhost:x", FakeClock(), os.urandom)


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
