"""What the HTTP API is given by the layers above it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chappe.auth.api_keys import ApiKeys
from chappe.hub.hub import HubCore
from chappe.transports.credentials import NO_COOKIE, CredentialReader
from chappe.transports.proxies import Proxies


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """Everything that the routes need.

    Attributes:
        hub: what they call.
        api_open: `/api` and `/metrics` answer anybody who reaches them (`--dev`, on loopback).
        api_keys: keys of backends, or None: only tokens are accepted.
        readiness: what stands in the way of serving, by part (`{"hub": "draining"}`); empty: nothing. The broker is
            probed besides.
        metrics: counters and gauges of the parts above, by full metric name.
        version, node: told to whoever asks.
        default_language: `en` or `fr`: how errors are worded for who asks for no language.
        reader: how requests bring credentials.
        proxies: who tells the address of a client, and shows a certificate that is its own.
    """

    hub: HubCore
    api_open: bool
    api_keys: ApiKeys | None
    readiness: Callable[[], Mapping[str, str]]
    metrics: Callable[[], Mapping[str, float]]
    version: str
    node: str
    default_language: str = "en"
    reader: CredentialReader = NO_COOKIE
    proxies: Proxies = field(default_factory=Proxies)
