"""Find what is wrong with settings that are well-formed: what contradicts itself, and files that are not there."""

import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from chappe.auth.api_keys import ApiKeys
from chappe.auth.jwt import JwtAuthenticator
from chappe.config.implementations import check_broker_url
from chappe.config.settings import Settings
from chappe.model.errors import ConfigurationError

Name = Literal[
    "closed", "no_keys", "half_tls", "namespace_slash", "memory_workers", "file_missing", "unusable", "pending"
]


class Problem(msgspec.Struct, frozen=True):
    """Name a problem and give the words that its text needs."""

    name: Name
    parameters: dict[str, object] = {}


def problems(settings: Settings) -> list[Problem]:
    """Return what would keep a hub with these settings from working; reads the files they name, connects to nothing."""
    checks: list[Callable[[Settings], Iterator[Problem]]] = [
        _rights,
        _tls,
        _tokens,
        _api,
        _namespaces,
        _broker,
        _pending,
    ]
    return [problem for check in checks for problem in check(settings)]


def _rights(settings: Settings) -> Iterator[Problem]:
    rights = {right for table in settings.namespaces.values() for right in (table.subscribe, table.publish)}
    if rights == {"nobody"}:
        yield Problem("closed")


def _tls(settings: Settings) -> Iterator[Problem]:
    cert, key = settings.server.cert, settings.server.key
    if bool(cert) != bool(key):
        yield Problem("half_tls")
        return
    for name, path in (("server.cert", cert), ("server.key", key)):
        if path and not Path(path).is_file():
            yield Problem("file_missing", {"name": name, "path": path})
            return
    if cert:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            yield Problem("unusable", {"reason": f"server.cert, server.key: {error}"})


def _tokens(settings: Settings) -> Iterator[Problem]:
    auth = settings.auth
    rights = {right for table in settings.namespaces.values() for right in (table.subscribe, table.publish)}
    if not (auth.hmac_secret_file or auth.public_keys):
        if rights & {"user", "token"} and not auth.jwks_url:
            yield Problem("no_keys")
        return
    try:
        JwtAuthenticator.from_files(
            hmac_secret_file=auth.hmac_secret_file,
            public_key_files=auth.public_keys,
            algorithms=auth.algorithms,
            audience=auth.audience,
            issuer=auth.issuer,
        )
    except ConfigurationError as error:
        yield Problem("unusable", {"reason": error.reason})


def _api(settings: Settings) -> Iterator[Problem]:
    if settings.api.keys_file:
        try:
            ApiKeys.load(settings.api.keys_file)
        except ConfigurationError as error:
            yield Problem("unusable", {"reason": error.reason})


def _namespaces(settings: Settings) -> Iterator[Problem]:
    for name in settings.namespaces:
        if re.search(r"[/+#]", name):
            yield Problem("namespace_slash", {"name": name})


def _broker(settings: Settings) -> Iterator[Problem]:
    if settings.server.workers > 1 and settings.broker.url.startswith("memory:"):
        yield Problem("memory_workers", {"workers": settings.server.workers})
    try:
        check_broker_url(settings.broker.url)
    except ConfigurationError as error:
        yield Problem("unusable", {"reason": error.reason})


#: Settings whose feature comes with a later release; the names are fixed already.
PENDING = ("server.batch_window_ms", "auth.jwks_url", "mqtt.port", "poll.hold_s", "users")


def _pending(settings: Settings) -> Iterator[Problem]:
    """Tell of settings that somebody made and that change nothing yet: silence would be a promise."""
    defaults = Settings()
    for name in PENDING:
        if _value(settings, name) != _value(defaults, name):
            yield Problem("pending", {"setting": name})


def _value(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value
