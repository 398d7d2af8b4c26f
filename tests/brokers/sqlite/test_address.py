"""A URL names a file and options, or an error says what was expected."""

from pathlib import Path

import pytest

from chappe.brokers.sqlite.address import Address, check_address, parse_address
from chappe.model.errors import ConfigurationError


def test_a_file_is_named_by_an_absolute_or_a_relative_path() -> None:
    assert parse_address("sqlite:///var/lib/a%20b.db") == Address(Path("/var/lib/a b.db"))
    assert parse_address("sqlite://hub.db?sync=full&verify=full&history_bytes=5&max_keys=1") == Address(
        Path("hub.db"), "full", "full", {"history_bytes": 5, "max_keys": 1}
    )


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
        check_address(url)
