"""Turn settings into the parts they name: the one place where implementations are chosen."""

from collections.abc import Callable
from typing import Final, TypeAlias

from chappe.hub.contracts import Broker, Clock, Random
from chappe.model.errors import ConfigurationError

Make: TypeAlias = Callable[[str, Clock, Random], Broker]


def make_broker(url: str, clock: Clock, random: Random) -> Broker:
    """Return the broker that a URL names; it is not started yet.

    Args:
        url: such as `memory://`.
        clock, random: what a broker takes its time and its epochs from.

    Raises:
        ConfigurationError: the scheme is unknown, the URL says something that is not, or a package is missing.
    """
    return _maker(url)(url, clock, random)


def check_broker_url(url: str) -> None:
    """Refuse a URL whose scheme `make_broker` could not serve.

    Raises:
        ConfigurationError: the scheme is unknown.
    """
    _maker(url)


def _maker(url: str) -> Make:
    scheme, separator, _ = url.partition("://")
    maker = _MAKERS.get(scheme) if separator else None
    if maker is None:
        expected = ", ".join(f"{known}://" for known in _MAKERS)
        raise ConfigurationError(f"broker.url: {scheme + separator!r} is not known, expected one of {expected}")
    return maker


# Imported when they are wanted: `config show` loads no engine.


def _memory(url: str, clock: Clock, random: Random) -> Broker:
    from chappe.brokers.memory import MemoryBroker

    return MemoryBroker(clock, random)


def _redis(url: str, clock: Clock, random: Random) -> Broker:
    from chappe.brokers.redis.address import parse
    from chappe.brokers.redis.broker import RedisBroker

    return RedisBroker(parse(url), random)


def _nats(url: str, clock: Clock, random: Random) -> Broker:
    from chappe.brokers.nats.broker import NatsBroker

    return NatsBroker(url, clock, random)


_MAKERS: Final[dict[str, Make]] = {
    "memory": _memory,
    "redis": _redis,
    "rediss": _redis,
    "redis+sentinel": _redis,
    "redis+cluster": _redis,
    "nats": _nats,
}
