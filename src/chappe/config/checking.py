"""Find what is wrong with settings that are well-formed: what contradicts itself, and files that are not there."""

import logging
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from chappe.auth.api_keys import ApiKeys
from chappe.auth.passwords import PasswordHash
from chappe.config.authentication import make_authenticator, make_authorizer
from chappe.config.implementations import SINGLE_SCHEMES, check_broker_url, scheme_of
from chappe.config.mqtt_bridges import mqtt_bridge_options, weaknesses
from chappe.config.profiles import DEV_DEFAULTS, is_loopback
from chappe.config.settings import Settings
from chappe.model.errors import ConfigurationError
from chappe.transports.event_loop import LoopClock

_log = logging.getLogger("chappe.config")

Name = Literal[
    "closed",
    "no_keys",
    "half_tls",
    "bare_ca",
    "no_client_cert",
    "cookie_origins",
    "namespace_slash",
    "single_workers",
    "file_missing",
    "unusable",
    "pending",
    "insecure",
    "open_bind",
    "mqtt_plain",
    "mqtt_insecure",
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
        _users,
        _api,
        _namespaces,
        _broker,
        _mqtt_bridges,
        _pending,
    ]
    return [problem for check in checks for problem in check(settings)]


def dangers(settings: Settings) -> list[Problem]:
    """Return what works and lets in more than most people want; `--dev` says so itself, and listens to nobody else."""
    if settings.server.dev:
        return []
    return [*_insecure(settings), *_open_bind(settings)]


#: What the log says: it is in English, whatever language the command line speaks.
_TEXTS: dict[Name, str] = {
    "closed": "nobody may subscribe or publish: add [namespaces.<name>] with subscribe and publish",
    "no_keys": "tokens are needed but no key verifies them: set auth.hmac_secret_file or auth.public_keys",
    "half_tls": "server.cert and server.key belong together: set both or none",
    "bare_ca": "server.client_ca asks for certificates in a TLS handshake: set server.cert and server.key too",
    "no_client_cert": "auth.certificate_user names nobody: set server.client_cert, which asks clients for certificates",
    "cookie_origins": "auth.cookie_name counts only for listed pages: set server.allowed_origins",
    "namespace_slash": "namespaces.{name}: a namespace is one segment of a channel name, without '/', '+' or '#'",
    "single_workers": "server.workers = {workers} needs a broker that processes share, {scheme}:// is for one",
    "file_missing": "{name}: {path} is not there",
    "unusable": "{reason}",
    "mqtt_plain": "mqtt_bridges.{name}: the password goes over the network as it is: use mqtts://",
    "mqtt_insecure": "mqtt_bridges.{name}: insecure_any_certificate: any certificate is believed; use ca_file",
    "pending": "{setting} changes nothing yet: its feature comes with a later release",
    "insecure": "{setting} is on: {meaning}",
    "open_bind": "{host} can be reached from other machines, and {setting} lets anybody in there",
}


def log_problems(settings: Settings) -> None:
    """Write a warning for each problem, as an application that loads its own configuration sees no command line."""
    for problem in (*problems(settings), *dangers(settings)):
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
    if settings.server.client_ca and not cert:
        yield Problem("bare_ca")
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
    if server.client_ca and Path(server.client_ca).is_file():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(server.client_ca)
        except (OSError, ssl.SSLError) as error:
            yield Problem("unusable", {"reason": f"server.client_ca {server.client_ca!r}: {error}"})


def _tokens(settings: Settings) -> Iterator[Problem]:
    auth = settings.auth
    rights = {right for table in settings.namespaces.values() for right in (table.subscribe, table.publish)}
    if auth.cookie_name and not settings.server.allowed_origins:
        yield Problem("cookie_origins")
    if auth.certificate_user and settings.server.client_cert == "none":
        yield Problem("no_client_cert")
    try:
        make_authorizer(settings)
        authenticator = make_authenticator(settings, LoopClock())
    except ConfigurationError as error:
        yield Problem("unusable", {"reason": error.reason})
        return
    if authenticator is None and not auth.certificate_user and rights & {"user", "token"}:
        yield Problem("no_keys")


def _users(settings: Settings) -> Iterator[Problem]:
    for name, user in settings.users.items():
        try:
            PasswordHash.parse(user.password_hash)
        except ConfigurationError as error:
            yield Problem("unusable", {"reason": f"users.{name}.{error.reason}"})


#: What each setting of this kind gives away.
_INSECURE: dict[str, str] = {
    "api.insecure_open": "anybody who reaches /api may publish and end connections",
    "auth.insecure_http": "who is on the way can change the keys of tokens, and what services answer",
}


def _insecure(settings: Settings) -> Iterator[Problem]:
    for name, meaning in _INSECURE.items():
        if _value(settings, name):
            yield Problem("insecure", {"setting": name, "meaning": meaning})


def _open_bind(settings: Settings) -> Iterator[Problem]:
    if is_loopback(settings.server.host):
        return
    rights = {right for table in settings.namespaces.values() for right in (table.subscribe, table.publish)}
    if settings.auth.anonymous and "anonymous" in rights:
        yield Problem("open_bind", {"host": settings.server.host, "setting": "auth.anonymous"})
    if settings.api.insecure_open:
        yield Problem("open_bind", {"host": settings.server.host, "setting": "api.insecure_open"})


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


def _mqtt_bridges(settings: Settings) -> Iterator[Problem]:
    for name, each in settings.mqtt_bridges.items():
        try:
            mqtt_bridge_options(name, each).address.tls_context()
        except ConfigurationError as error:
            yield Problem("unusable", {"reason": error.reason})
            continue
        yield from (Problem(weakness, {"name": name}) for weakness in weaknesses(each))


#: Settings whose feature comes with a later release; the names are fixed already.
PENDING: Final[tuple[str, ...]] = ()


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
