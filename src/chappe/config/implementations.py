"""Turn settings into the parts they name: the one place where implementations are chosen."""

from chappe.hub.contracts import Broker, Clock, Random
from chappe.model.errors import ConfigurationError

#: Schemes that are in the documentation and come with a later release.
PLANNED_SCHEMES = frozenset({"sqlite", "redis", "rediss", "redis+sentinel", "redis+cluster"})

NATS_SCHEMES = frozenset({"nats", "nats+tls"})


def make_broker(url: str, clock: Clock, random: Random) -> Broker:
    """Return the broker that a URL names; it is not started yet.

    Args:
        url: such as `memory://`.
        clock, random: what a broker in this process takes its time and its epochs from.

    Raises:
        ConfigurationError: the scheme is unknown, not in this release, or what it needs is not installed.
    """
    check_broker_url(url)
    if url.partition("://")[0] in NATS_SCHEMES:
        try:
            from chappe.brokers.nats.broker import NatsBroker
        except ModuleNotFoundError as error:
            raise ConfigurationError(f'broker.url: {error.name} is not installed: pip install "chappe[nats]"') from None
        return NatsBroker(url, clock, random)
    from chappe.brokers.memory import MemoryBroker  # here, so that `config show` loads no engine

    return MemoryBroker(clock, random)


def check_broker_url(url: str) -> None:
    """Refuse a URL that `make_broker` could not serve.

    Raises:
        ConfigurationError: the scheme is unknown, or not in this release.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme in PLANNED_SCHEMES:
        raise ConfigurationError(f"broker.url: {scheme}:// comes with a later release, use memory:// until then")
    if separator and scheme in NATS_SCHEMES:
        from chappe.brokers.nats.options import parse_url

        parse_url(url)
    elif not separator or scheme != "memory":
        raise ConfigurationError(f"broker.url: {scheme + separator!r} is not known, expected memory:// or nats://")
