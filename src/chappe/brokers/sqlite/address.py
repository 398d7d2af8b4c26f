"""What a `sqlite://` URL says: which file, and with which options."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from chappe.brokers.sqlite.database import Database, Sync, Verify
from chappe.model.errors import ConfigurationError

#: Options that are whole numbers, and the least they may be.
_NUMBERS: Final = {"history_bytes": 0, "max_streams": 1, "max_retained": 0, "retained_bytes": 0, "max_keys": 1}
_WORDS: Final = {"sync": ("normal", "full"), "verify": ("quick", "full")}


class Address(msgspec.Struct, frozen=True):
    """A file and how it is used; see `SqliteBroker` for the options."""

    path: Path
    sync: Sync = "normal"
    verify: Verify = "quick"
    limits: dict[str, int] = {}


def parse_address(url: str) -> Address:
    """Understand `sqlite:///absolute/file.db` or `sqlite://relative/file.db`, with options behind `?`.

    Raises:
        ConfigurationError: it names no file, or an option that does not exist.
    """
    place, _, query = url.removeprefix("sqlite://").partition("?")
    path = unquote(place)
    if not path or path.endswith("/") or "\0" in path:
        raise ConfigurationError("broker.url: no file is named, expected sqlite:///path/file.db")
    options: dict[str, Any] = {}
    limits: dict[str, int] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _WORDS:
            if value not in _WORDS[name]:
                raise ConfigurationError(f"broker.url: {name}={value}, expected {' or '.join(_WORDS[name])}")
            options[name] = value
        elif name in _NUMBERS:
            limits[name] = _number(name, value)
        else:
            known = ", ".join((*_WORDS, *_NUMBERS))
            raise ConfigurationError(f"broker.url: option {name!r} is not known, expected one of {known}")
    return Address(Path(path), **options, limits=limits)


def check_address(url: str) -> None:
    """Refuse a URL whose file cannot be made or used; opens nothing.

    Raises:
        ConfigurationError: what is wrong.
    """
    address = parse_address(url)
    Database(address.path, address.sync).check_place()


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 16) or int(value) < _NUMBERS[name]:
        raise ConfigurationError(f"broker.url: {name}={value}, expected a whole number from {_NUMBERS[name]}")
    return int(value)
