"""Find what is wrong with settings that are well-formed: what contradicts itself, and files that are not there."""

import logging
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from chappe.auth.api_keys import ApiKeys
from chappe.auth.jwt import JwtAuthenticator
from chappe.config.implementations import SINGLE_SCHEMES, check_broker_url, scheme_of
from chappe.config.profiles import DEV_DEFAULTS
from chappe.config.settings import Settings
from chappe.model.errors import ConfigurationError

_log = logging.getLogger("chappe.config")

Name = Literal[
    "closed", "no_keys", "half_tls", "namespace_slash", "single_workers", "file_missing", "unusable", "pending"
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


#: What the log says: it is in English, whatever language the command line speaks.
_TEXTS: dict[Name, str] = {
    "closed": "nobody may subscribe or publish: add [namespaces.<name>] with subscribe and publish",
    "no_keys": "tokens are needed but no key verifies them: set auth.hmac_secret_file or auth.public_keys",
    "half_tls": "server.cert and server.key belong together: set both or none",
    "namespace_slash": "namespaces.{name}: a namespace is one segment of a channel name, without '/', '+' or '#'",
    "single_workers": "server.workers = {workers} needs a broker that processes share, {scheme}:// is for one",
    "file_missing": "{name}: {path} is not there",
    "unusable": "{reason}",
    "pending": "{setting} changes nothing yet: its feature comes with a later release",
}


def log_problems(settings: Settings) -> None:
    """Write a warning for each problem, as an application that loads its own configuration sees no command line."""
    for problem in problems(settings):
        _log.warning("%s", _TEXTS[problem.name].format(**problem.parameters))


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
        yield from _more_tls(settings)
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            yield Problem("unusable", {"reason": f"server.cert, server.key: {error}"})


def _more_tls(settings: Settings) -> Iterator[Problem]:
    server = settings.server
    paths = [("server.extra_certs", path) for pair in server.extra_certs for path in pair.split("=") if path]
    if server.client_cert != "none" or server.client_ca:
        paths.append(("server.client_ca", server.client_ca))
    for name, path in paths:
        if not Path(path).is_file():
            yield Problem("file_missing", {"name": name, "path": path})


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
    scheme = scheme_of(settings.broker.url)
    # In memory there is nothing to share: workers get a broker of their own.
    if settings.server.workers > 1 and scheme in SINGLE_SCHEMES and scheme != "memory":
        yield Problem("single_workers", {"workers": settings.server.workers, "scheme": scheme})
    try:
        check_broker_url(settings.broker.url)
    except ConfigurationError as error:
        yield Problem("unusable", {"reason": error.reason})


#: Settings whose feature comes with a later release; the names are fixed already.
PENDING = (
    "auth.jwks_url",
    "poll.hold_s",
    "poll.simple",
    "users",
)


_NO_VALUE: Final = object()


def _pending(settings: Settings) -> Iterator[Problem]:
    """Tell of settings that somebody made and that change nothing yet: silence would be a promise."""
    defaults = Settings()
    for name in PENDING:
        value = _value(settings, name)
        # Nobody made what `--dev` brings along.
        dev = settings.server.dev and value == DEV_DEFAULTS.get(name, _NO_VALUE)
        if value != _value(defaults, name) and not dev:
            yield Problem("pending", {"setting": name})


def _value(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value
