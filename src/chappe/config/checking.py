"""Find what is wrong with settings that are well-formed: what contradicts itself, and files that are not there."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from chappe.config.settings import Settings

Name = Literal[
    "closed",
    "no_keys",
    "half_tls",
    "no_algorithm",
    "namespace_slash",
    "memory_workers",
    "file_missing",
    "keys_line",
]

#: One API key in `api.keys_file`. The key has 256 random bits, so that a plain SHA-256 of it cannot be reversed.
KEY_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64}):(?P<sha256>[0-9a-f]{64})")


class Problem(msgspec.Struct, frozen=True):
    """Name a problem and give the words that its text needs."""

    name: Name
    parameters: dict[str, object] = {}


def problems(settings: Settings) -> list[Problem]:
    """Return what would keep a hub with these settings from working; reads the files they name, opens no socket."""
    checks: list[Callable[[Settings], Iterator[Problem]]] = [_rights, _tls, _tokens, _namespaces, _workers, _files]
    return [problem for check in checks for problem in check(settings)]


def _rights(settings: Settings) -> Iterator[Problem]:
    rights = {right for table in settings.namespaces.values() for right in (table.subscribe, table.publish)}
    if rights == {"nobody"}:
        yield Problem("closed")


def _tls(settings: Settings) -> Iterator[Problem]:
    if bool(settings.server.cert) != bool(settings.server.key):
        yield Problem("half_tls")


def _tokens(settings: Settings) -> Iterator[Problem]:
    auth = settings.auth
    rights = {right for table in settings.namespaces.values() for right in (table.subscribe, table.publish)}
    if rights & {"user", "token"} and not (auth.hmac_secret_file or auth.public_keys or auth.jwks_url):
        yield Problem("no_keys")
    if auth.hmac_secret_file and not any(name.startswith("HS") for name in auth.algorithms):
        yield Problem("no_algorithm")


def _namespaces(settings: Settings) -> Iterator[Problem]:
    for name in settings.namespaces:
        if re.search(r"[/+#]", name):
            yield Problem("namespace_slash", {"name": name})


def _workers(settings: Settings) -> Iterator[Problem]:
    if settings.server.workers > 1 and settings.broker.url.startswith("memory:"):
        yield Problem("memory_workers", {"workers": settings.server.workers})


def _files(settings: Settings) -> Iterator[Problem]:
    named = [
        ("server.cert", settings.server.cert),
        ("server.key", settings.server.key),
        ("auth.hmac_secret_file", settings.auth.hmac_secret_file),
        ("api.keys_file", settings.api.keys_file),
        *(("auth.public_keys", path) for path in settings.auth.public_keys),
    ]
    for name, path in named:
        if not path:
            continue
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            yield Problem("file_missing", {"name": name, "path": path, "reason": error.strerror})
            continue
        if name == "api.keys_file":
            yield from _key_lines(content.decode("utf-8", "replace"))


def _key_lines(content: str) -> Iterator[Problem]:
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip() and not line.startswith("#") and not KEY_LINE.fullmatch(line.strip()):
            yield Problem("keys_line", {"line": number})
