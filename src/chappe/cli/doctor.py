"""`chappe doctor`: look at the machine, the configuration and a hub, and say what to do next."""

import asyncio
import contextlib
import errno
import importlib.metadata
import json
import os
import platform
import socket
from collections.abc import Callable, Iterator
from typing import Final, Literal

import click
import msgspec

from chappe.cli.config import problem_texts
from chappe.cli.grammar import USAGE, Command, Failure, config_option, examples, json_option
from chappe.cli.texts import T
from chappe.cli.why import explain
from chappe.cli.wording import word_setting_error
from chappe.config import SettingError, Settings, load
from chappe.config.checking import dangers
from chappe.config.implementations import scheme_of
from chappe.model.errors import ConfigurationError
from chappe.transports.data_plane import Obstacle, obstacle
from chappe.wire.websocket import NATIVE

#: Below this a hub holds fewer clients than a small site has visitors.
FILES_WANTED = 4096
HUB_TIMEOUT_S = 5.0
_MARKS = {"ok": "✓", "warning": "!", "failed": "✗"}


class Finding(msgspec.Struct, frozen=True):
    """Say what one check found; `next_step` is empty when nothing is to be done."""

    check: str
    state: Literal["ok", "warning", "failed"]
    found: str
    next_step: str = ""


@click.command(
    "doctor",
    cls=Command,
    help=T["doctor"],
    epilog=examples(
        "chappe doctor",
        "chappe doctor --url http://127.0.0.1:8080",
        "chappe doctor --why ada publish chat/lobby",
    ),
)
@click.option("--url", help=T["doctor_url"])
@click.option("--why", type=(str, str, str), metavar="USER ACTION CHANNEL", default=None, help=T["doctor_why"])
@click.option("--token", metavar="TOKEN", help=T["doctor_token"])
@config_option
@json_option
def command(
    url: str | None, why: tuple[str, str, str] | None, token: str | None, config_file: str | None, as_json: bool
) -> None:
    """Print one line for each check; exit 1 if one failed."""
    if why is not None:
        explain(load(config_file, os.environ).settings, why, token, as_json)
        return
    if token is not None:
        raise Failure(T["doctor_token_alone"], USAGE)
    findings = list(_examine(url, config_file))
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(finding) for finding in findings], ensure_ascii=False))
    else:
        for finding in findings:
            step = f" - {finding.next_step}" if finding.next_step else ""
            click.echo(f"{_MARKS[finding.state]} {finding.check}: {finding.found}{step}")
    failed = sum(finding.state == "failed" for finding in findings)
    if failed:
        raise Failure(T["doctor_bad"].format(count=failed))
    if not as_json:
        click.echo(T["doctor_good"])


def _examine(url: str | None, config_file: str | None) -> Iterator[Finding]:
    yield _python()
    yield _package("uvloop", "warning", T["doctor_missing_uvloop"])
    yield _package("httptools", "failed", T["doctor_missing_httptools"])
    yield _codec()
    yield from _files()
    try:
        settings = load(config_file, os.environ).settings
    except SettingError as error:
        yield Finding("configuration", "failed", word_setting_error(error))
        return
    yield from _configuration(settings)
    yield from _broker(settings.broker.url)
    yield _data_plane(settings)
    yield _port(settings.server.host, settings.server.port)
    if url is not None:
        yield _hub(url)


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_implementation()} {platform.python_version()}")


def _package(name: str, without: Literal["warning", "failed"], next_step: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, without, T["doctor_not_installed"], next_step)


def _redis(url: str) -> Iterator[Finding]:
    """Look for the library, then for the server (or the first of several)."""
    library = _package("hiredis", "failed", T["doctor_missing_hiredis"])
    yield library
    if library.state == "ok":
        from chappe.brokers.redis.topology import try_first

        host, problem = asyncio.run(try_first(url))
        if problem:
            yield Finding("broker", "failed", f"{host}: {problem}", T["doctor_broker_unreachable"])
        else:
            yield Finding("broker", "ok", host)


def _codec() -> Finding:
    if NATIVE:
        return Finding("codec", "ok", T["doctor_compiled"])
    return Finding("codec", "warning", T["doctor_in_python"], T["doctor_compile"])


def _data_plane(settings: Settings) -> Finding:
    """Say which way bytes will go; only what nobody asked for is worth a warning."""
    wanted = settings.server.data_plane
    if wanted == "portable":
        return Finding("data plane", "ok", T["doctor_portable"].format(why=T["doctor_plane_asked"]))
    found = obstacle(tls=bool(settings.server.cert))
    if found is None:
        return Finding("data plane", "ok", T["doctor_native"])
    whys: dict[Obstacle, str] = {
        "tls": T["doctor_plane_tls"],
        "system": T["doctor_plane_system"],
        "not_built": T["doctor_plane_not_built"],
    }
    text = T["doctor_portable"].format(why=whys[found])
    if wanted == "native":
        return Finding("data plane", "failed", text, T["doctor_plane_impossible"])
    if found == "not_built":
        return Finding("data plane", "warning", text, T["doctor_compile"])
    return Finding("data plane", "ok", text)


def _files() -> Iterator[Finding]:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < FILES_WANTED:
        yield Finding("file descriptors", "warning", str(limit), T["doctor_files_low"])
    else:
        yield Finding("file descriptors", "ok", str(limit))


def _configuration(settings: Settings) -> Iterator[Finding]:
    texts = problem_texts(settings)
    for text in texts:
        yield Finding("configuration", "warning", text)
    if not texts:
        yield Finding("configuration", "ok", T["config_good"])
    for text in problem_texts(settings, dangers):
        yield Finding("security", "warning", text, T["doctor_danger_step"])


def _broker(url: str) -> Iterator[Finding]:
    """Look at what the broker stands on: its file, or its server."""
    examine = _BROKERS.get(scheme_of(url))
    # What is wrong with a URL the configuration's line says.
    with contextlib.suppress(ConfigurationError):
        yield from examine(url) if examine is not None else ()


def _file(url: str) -> Iterator[Finding]:
    """Verify a file."""
    from chappe.brokers.sqlite.examination import examine

    report = examine(url)
    words = report._asdict()
    if report.state == "unusable":
        yield Finding("broker", "failed", report.reason, T["doctor_file_step"])
    elif report.state == "busy":
        yield Finding("broker", "ok", T["doctor_file_busy"].format(**words))
    elif report.state == "lossy":
        yield Finding("broker", "warning", T["doctor_file_lossy"].format(**words), T["doctor_file_lossy_step"])
    else:
        text = T["doctor_file_new"] if report.state == "new" else T["doctor_file_good"]
        yield Finding("broker", "ok", text.format(**words))


def _nats(url: str) -> Iterator[Finding]:
    """Ask a NATS server who it is."""
    from chappe.brokers.nats.examination import examine

    yield _package("nats-py", "failed", T["doctor_missing_nats"])
    report = examine(url)
    steps = {
        "good": "",
        "silent": T["doctor_nats_silent"],
        "old": T["doctor_nats_old"],
        "bare": T["doctor_nats_bare"],
    }
    found = f"nats-server {report.version} ({report.server})" if report.version else report.server
    yield Finding("broker", "ok" if report.state == "good" else "failed", found, steps[report.state])


_BROKERS: Final[dict[str, Callable[[str], Iterator[Finding]]]] = {
    "sqlite": _file,
    **dict.fromkeys(("nats", "nats+tls"), _nats),
    **dict.fromkeys(("redis", "rediss", "redis+sentinel", "redis+cluster"), _redis),
}


def _port(host: str, port: int) -> Finding:
    """Bind the port for a moment, as the hub would."""
    name = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere the option would let two programs listen on one port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        steps = {errno.EADDRINUSE: T["doctor_port_taken"], errno.EACCES: T["doctor_port_denied"]}
        step = steps.get(error.errno or 0, T["doctor_host_unknown"])
        return Finding("port", "failed", f"{name}: {error.strerror}", step)
    return Finding("port", "ok", f"{name} {T['doctor_free']}")


def _hub(url: str) -> Finding:
    import httpx

    address = url.replace("ws://", "http://", 1).replace("wss://", "https://", 1).rstrip("/")
    try:
        answer = httpx.get(f"{address}/readyz", timeout=HUB_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Finding("hub", "failed", f"{address}: {str(error) or type(error).__name__}", T["doctor_hub_unreachable"])
    if answer.status_code != 200:
        return Finding("hub", "failed", f"{address}: HTTP {answer.status_code}", T["doctor_hub_not_ready"])
    return Finding("hub", "ok", address)
