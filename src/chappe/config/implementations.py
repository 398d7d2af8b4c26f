"""Turn settings into the parts they name: the one place where implementations are chosen."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from chappe.config.settings import Settings
from chappe.hub.bridges import BridgeStatus
from chappe.hub.contracts import Broker, Clock, Random
from chappe.hub.hub import HubCore
from chappe.model.errors import ConfigurationError

#: Schemes of brokers that serve one process.
SINGLE_SCHEMES: Final = frozenset({"memory", "sqlite"})


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of broker; its modules are imported when it is wanted, so that `config show` loads no engine.

    Attributes:
        check: refuses what its part of a URL may not say; opens nothing and connects to nothing.
        make: makes it.
    """

    check: Callable[[str], object]
    make: Callable[[str, Clock, Random], Broker]


def make_broker(url: str, clock: Clock, random: Random) -> Broker:
    """Return the broker that a URL names; it is not started yet.

    Args:
        url: such as `memory://`, `sqlite:///var/lib/chappe/hub.db?sync=full` or `redis://127.0.0.1`.
        clock, random: what a broker takes its time and its epochs from.

    Raises:
        ConfigurationError: the scheme is unknown, the rest of the URL is wrong, or a package is missing.
    """
    return _kind(url).make(url, clock, random)


def check_broker_url(url: str) -> None:
    """Refuse a URL that `make_broker` could not serve; connects to nothing and opens nothing.

    Raises:
        ConfigurationError: the scheme is unknown, the rest of the URL is wrong, or a package is missing.
    """
    _kind(url).check(url)


def scheme_of(url: str) -> str:
    """Return the scheme of a broker's URL, empty if it has none."""
    scheme, separator, _ = url.partition("://")
    return scheme if separator else ""


def _kind(url: str) -> _Kind:
    kind = _KINDS.get(scheme_of(url))
    if kind is None:
        # A URL may have a password behind its scheme.
        shown = url.partition("://")[0] + ("://" if "://" in url else "")
        expected = ", ".join(f"{scheme}://" for scheme in _KINDS)
        raise ConfigurationError(f"broker.url: {shown!r} is not known, expected one of {expected}")
    return kind


def _make_memory(url: str, clock: Clock, random: Random) -> Broker:
    from chappe.brokers.memory import MemoryBroker

    return MemoryBroker(clock, random)


def _check_sqlite(url: str) -> None:
    from chappe.brokers.sqlite.address import check_address

    check_address(url)


def _make_sqlite(url: str, clock: Clock, random: Random) -> Broker:
    from chappe.brokers.sqlite import SqliteBroker
    from chappe.brokers.sqlite.address import parse_address

    address = parse_address(url)
    return SqliteBroker(clock, random, address.path, sync=address.sync, verify=address.verify, **address.limits)


def _check_nats(url: str) -> None:
    from chappe.brokers.nats.options import parse_url

    parse_url(url)


def _make_nats(url: str, clock: Clock, random: Random) -> Broker:
    try:
        from chappe.brokers.nats.broker import NatsBroker
    except ModuleNotFoundError as error:
        raise ConfigurationError(f'broker.url: {error.name} is not installed: pip install "chappe[nats]"') from None
    return NatsBroker(url, clock, random)


def _check_redis(url: str) -> None:
    from chappe.brokers.redis.address import parse

    parse(url)


def _make_redis(url: str, clock: Clock, random: Random) -> Broker:
    _check_hiredis()
    from chappe.brokers.redis.address import parse
    from chappe.brokers.redis.broker import RedisBroker

    return RedisBroker(parse(url), random)


class Bridge(Protocol):
    """A way to another system, which the hub starts and stops with itself, and which tells how it is."""

    def start(self) -> None:
        """Begin, on the running loop."""

    async def stop(self) -> None:
        """End."""

    def status(self) -> BridgeStatus:
        """Return how it is now."""


def make_bridges(settings: Settings, hub: HubCore) -> list[Bridge]:
    """Return the bridges that settings name, and tell the hub of them; none is started yet.

    Raises:
        ConfigurationError: the URL of a bridge, or its channels, cannot be used.
    """
    made: list[Bridge] = []
    if settings.redis_bridges:
        _check_hiredis()
        from chappe.bridges.redis import RedisBridge

        made += [RedisBridge(hub, each.url, each.pairs(), name) for name, each in settings.redis_bridges.items()]
    if settings.mqtt_bridges:
        from chappe.config.mqtt_bridges import make_mqtt_bridge

        made += [make_mqtt_bridge(hub, name, each) for name, each in settings.mqtt_bridges.items()]
    hub.bridges.extend(made)
    return made


def _check_hiredis() -> None:
    if importlib.util.find_spec("hiredis") is None:
        raise ConfigurationError("broker.url: redis:// needs the package hiredis: pip install 'chappe[redis]'")


_KINDS: Final[dict[str, _Kind]] = {
    "memory": _Kind(lambda url: None, _make_memory),
    "sqlite": _Kind(_check_sqlite, _make_sqlite),
    **dict.fromkeys(("nats", "nats+tls"), _Kind(_check_nats, _make_nats)),
    **dict.fromkeys(("redis", "rediss", "redis+sentinel", "redis+cluster"), _Kind(_check_redis, _make_redis)),
}
