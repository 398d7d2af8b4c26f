"""Turn settings into the parts they name: the one place where implementations are chosen."""

import importlib.util
from typing import Protocol

from chappe.config.settings import Settings
from chappe.hub.contracts import Broker, Clock, Random
from chappe.hub.hub import HubCore
from chappe.model.errors import ConfigurationError

#: Schemes that are in the documentation and come with a later release.
PLANNED_SCHEMES = frozenset({"sqlite", "nats"})
#: Served by `chappe.brokers.redis`, which has its libraries by the extra `chappe[redis]`.
REDIS_SCHEMES = frozenset({"redis", "rediss", "redis+sentinel", "redis+cluster"})


def make_broker(url: str, clock: Clock, random: Random) -> Broker:
    """Return the broker that a URL names; it is not started yet.

    Args:
        url: such as `memory://` or `redis://localhost`.
        clock, random: what a broker in this process takes its time and its epochs from.

    Raises:
        ConfigurationError: the scheme is unknown, or not in this release.
    """
    check_broker_url(url)
    if _scheme_of(url) in REDIS_SCHEMES:
        _check_hiredis()
        from chappe.brokers.redis.address import parse
        from chappe.brokers.redis.broker import RedisBroker

        return RedisBroker(parse(url), random)
    from chappe.brokers.memory import MemoryBroker  # here, so that `config show` loads no engine

    return MemoryBroker(clock, random)


class Bridge(Protocol):
    """A way to another system, which the hub starts and stops with itself."""

    def start(self) -> None:
        """Begin, on the running loop."""

    async def stop(self) -> None:
        """End."""


def make_bridges(settings: Settings, hub: HubCore) -> list[Bridge]:
    """Return the bridges that settings name; none is started yet.

    Raises:
        ConfigurationError: the URL of a bridge, or its channels, cannot be used.
    """
    if not settings.redis_bridges:
        return []
    _check_hiredis()
    from chappe.bridges.redis import RedisBridge

    return [RedisBridge(hub, each.url, each.pairs()) for each in settings.redis_bridges.values()]


def check_broker_url(url: str) -> None:
    """Refuse a URL that `make_broker` could not serve.

    Raises:
        ConfigurationError: the scheme is unknown, or not in this release, or the rest of the URL is wrong.
    """
    if _scheme_of(url) in REDIS_SCHEMES:
        from chappe.brokers.redis.address import parse

        parse(url)
        return
    scheme, separator, _ = url.partition("://")
    if separator and scheme in PLANNED_SCHEMES:
        raise ConfigurationError(f"broker.url: {scheme}:// comes with a later release, expected memory:// or redis://")
    if not separator or scheme != "memory":
        raise ConfigurationError(f"broker.url: {scheme + separator!r} is not known, expected memory:// or redis://")


def _scheme_of(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    return scheme if separator else ""


def _check_hiredis() -> None:
    if importlib.util.find_spec("hiredis") is None:
        raise ConfigurationError("broker.url: redis:// needs the package hiredis: pip install 'chappe[redis]'")
