"""A URL names a broker, or an error says what can be had."""

import os

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.config import make_broker
from chappe.model.errors import ConfigurationError
from chappe.testing.fake_clock import FakeClock


def test_memory_is_the_broker_of_this_process() -> None:
    assert isinstance(make_broker("memory://", FakeClock(), os.urandom), MemoryBroker)


@pytest.mark.parametrize("url", ["", "memory", "memory:", "http://x", "://"])
def test_anything_else_is_refused_with_what_was_expected(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected one of memory://, "):
        make_broker(url, FakeClock(), os.urandom)
