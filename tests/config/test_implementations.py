"""A URL names a broker, or an error says what can be had."""

import os
from pathlib import Path

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.brokers.sqlite import SqliteBroker
from chappe.brokers.sqlite.address import Address, parse_address
from chappe.config import make_broker
from chappe.model.errors import ConfigurationError
from chappe.testing.fake_clock import FakeClock


def test_memory_is_the_broker_of_this_process() -> None:
    assert isinstance(make_broker("memory://", FakeClock(), os.urandom), MemoryBroker)


@pytest.mark.parametrize("url", ["redis://localhost", "nats://x", "redis+sentinel://x"])
def test_a_broker_of_a_later_release_is_named_as_such(url: str) -> None:
    with pytest.raises(ConfigurationError, match="comes with a later release"):
        make_broker(url, FakeClock(), os.urandom)


@pytest.mark.parametrize("url", ["", "memory", "memory:", "http://x", "://"])
def test_anything_else_is_refused_with_what_was_expected(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected memory://"):
        make_broker(url, FakeClock(), os.urandom)


def test_a_file_is_named_by_an_absolute_or_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_address("sqlite:///var/lib/a%20b.db") == Address(Path("/var/lib/a b.db"))
    assert parse_address("sqlite://hub.db?sync=full&verify=full&history_bytes=5&max_keys=1") == Address(
        Path("hub.db"), "full", "full", {"history_bytes": 5, "max_keys": 1}
    )
    monkeypatch.chdir(tmp_path)
    for url in (f"sqlite://{tmp_path}/hub.db", "sqlite://hub.db?sync=full"):
        broker = make_broker(url, FakeClock(), os.urandom)
        assert isinstance(broker, SqliteBroker)
        assert broker.durable
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("sqlite://", "no file is named"),
        ("sqlite:///", "no file is named"),
        ("sqlite://?sync=full", "no file is named"),
        ("sqlite:///nowhere/at/all.db", "/nowhere/at is not there, create it first"),
        ("sqlite:///tmp", "/tmp is a directory"),
        ("sqlite://hub.db?sync=off", "sync=off, expected normal or full"),
        ("sqlite://hub.db?wal=1", "option 'wal' is not known, expected one of sync"),
        ("sqlite://hub.db?max_keys=0", "expected a whole number from 1"),
        ("sqlite://hub.db?history_bytes=-1", "expected a whole number from 0"),
        ("sqlite://hub.db?history_bytes=²", "expected a whole number from 0"),
    ],
)
def test_a_wrong_file_or_option_is_refused_with_what_was_expected(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        make_broker(url, FakeClock(), os.urandom)
