"""Turn settings into the parts they name: the one place where implementations are chosen."""

from chappe.hub.contracts import Broker, Clock, Random
from chappe.model.errors import ConfigurationError

#: Schemes that are in the documentation and come with a later release.
PLANNED_SCHEMES = frozenset({"redis", "rediss", "redis+sentinel", "redis+cluster", "nats"})
#: Schemes of brokers that serve one process.
SINGLE_SCHEMES = frozenset({"memory", "sqlite"})
_EXPECTED = "memory:// or sqlite:///path/file.db"


def make_broker(url: str, clock: Clock, random: Random) -> Broker:
    """Return the broker that a URL names; it is not started yet.

    Args:
        url: such as `memory://` or `sqlite:///var/lib/chappe/hub.db?sync=full`.
        clock, random: what a broker in this process takes its time and its epochs from.

    Raises:
        ConfigurationError: the scheme is unknown, not in this release, or the rest of the URL is wrong.
    """
    check_broker_url(url)
    # Imported here, so that `config show` loads no engine.
    if scheme_of(url) == "sqlite":
        from chappe.brokers.sqlite import SqliteBroker
        from chappe.brokers.sqlite.address import parse_address

        address = parse_address(url)
        return SqliteBroker(clock, random, address.path, sync=address.sync, verify=address.verify, **address.limits)
    from chappe.brokers.memory import MemoryBroker

    return MemoryBroker(clock, random)


def scheme_of(url: str) -> str:
    """Return the scheme of a broker's URL, empty if it has none."""
    scheme, separator, _ = url.partition("://")
    return scheme if separator else ""


def check_broker_url(url: str) -> None:
    """Refuse a URL that `make_broker` could not serve; connects to nothing and opens nothing.

    Raises:
        ConfigurationError: the scheme is unknown, not in this release, or the rest of the URL is wrong.
    """
    scheme = scheme_of(url)
    if scheme in PLANNED_SCHEMES:
        raise ConfigurationError(f"broker.url: {scheme}:// comes with a later release, use {_EXPECTED} until then")
    if scheme == "sqlite":
        from chappe.brokers.sqlite.address import check_address

        check_address(url)
    elif scheme != "memory":
        shown = url.partition("://")[0] + ("://" if "://" in url else "")
        raise ConfigurationError(f"broker.url: {shown!r} is not known, expected {_EXPECTED}")
