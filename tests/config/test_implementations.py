"""A URL names a broker, or an error says what can be had."""

import os

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.config import make_broker
from chappe.model.errors import ConfigurationError
from chappe.testing.fake_clock import FakeClock


def test_memory_is_the_broker_of_this_process() -> None:
    assert isinstance(make_broker("memory://", FakeClock(), os.urandom), MemoryBroker)


@pytest.mark.parametrize("url", ["redis://localhost", "sqlite:///hub.db", "redis+sentinel://x"])
def test_a_broker_of_a_later_release_is_named_as_such(url: str) -> None:
    with pytest.raises(ConfigurationError, match="comes with a later release"):
        make_broker(url, FakeClock(), os.urandom)


@pytest.mark.parametrize("url", ["", "memory", "memory:", "http://x", "://"])
def test_anything_else_is_refused_with_what_was_expected(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected memory://"):
        make_broker(url, FakeClock(), os.urandom)


def test_nats_is_a_broker_that_has_not_connected_yet() -> None:
    broker = make_broker("nats://secret@localhost/?storage=memory", FakeClock(), os.urandom)
    assert broker.name == "nats"
    assert not broker.durable


def test_what_a_nats_url_cannot_say_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigurationError, match="option 'color' is not known"):
        make_broker("nats://localhost/?color=red", FakeClock(), os.urandom)
