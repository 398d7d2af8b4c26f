"""`chappe serve`: run a hub until a signal ends it."""

import datetime
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from chappe.cli.config import problem_texts
from chappe.cli.grammar import USAGE, Command, Failure, config_option, examples
from chappe.cli.texts import T
from chappe.cli.version import chappe_version
from chappe.config import Settings, load
from chappe.config.implementations import scheme_of
from chappe.config.loading import FLAGS
from chappe.telemetry import logging_to

if TYPE_CHECKING:
    from chappe.app import Hub

_log = logging.getLogger("chappe.server")

#: Parameters of the command whose setting has another name.
_SETTINGS = {flag.removeprefix("--").replace("-", "_"): name for name, flag in FLAGS.items()}
#: Settings that still mean something when the application brings its own hub.
_FREE_WITH_APP = frozenset({"server.host", "server.port", "log.level", "log.file", "log.format"})


@click.command(
    "serve",
    cls=Command,
    help=T["serve"],
    epilog=examples(
        "chappe serve --dev",
        "chappe serve --config chappe.toml --port 9000",
        "chappe serve main:hub --log-level DEBUG --log-file",
    ),
)
@click.argument("app", required=False)
@click.option("--host", help=T["serve_host"])
@click.option("--port", metavar="PORT", help=T["serve_port"])
@config_option
@click.option("--workers", metavar="N", help=T["serve_workers"])
@click.option("--broker", metavar="URL", help=T["serve_broker"])
@click.option("--root", metavar="PROTOCOL", help=T["serve_root"])
@click.option("--mqtt-port", metavar="PORT", help=T["serve_mqtt_port"])
@click.option("--cert", metavar="FILE", help=T["serve_cert"])
@click.option("--key", metavar="FILE", help=T["serve_key"])
@click.option("--preset", metavar="NAME", help=T["serve_preset"])
@click.option("--log-level", metavar="LEVEL", help=T["serve_log_level"])
@click.option("--log-file", is_flag=False, flag_value="auto", metavar="[FILE]", help=T["serve_log_file"])
@click.option("--log-format", metavar="FORMAT", help=T["serve_log_format"])
@click.option("--dev", is_flag=True, default=None, help=T["serve_dev"])
def command(app: str | None, config_file: str | None, **options: Any) -> None:
    """Load settings, make or import the hub, run it."""
    flags = flags_of(options)
    if app is None:
        settings = load(config_file, os.environ, flags).settings
        hub = _make_hub(settings)
    else:
        foreign = [FLAGS[name] for name in flags if name not in _FREE_WITH_APP]
        if foreign:
            raise Failure(T["serve_app_flags"].format(options=", ".join(foreign)), USAGE)
        hub = import_hub(app)
        settings = with_flags(hub.settings, flags)
    run(hub, settings)


def flags_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that options of `serve` give, by dotted name; options that were not given are left out."""
    return {_SETTINGS[option]: value for option, value in options.items() if value is not None}


def with_flags(settings: Settings, flags: dict[str, Any]) -> Settings:
    """Return an application's settings with those of its command line over them."""
    given = load(os.devnull, flags=flags).settings
    for name in flags:
        section, _, key = name.partition(".")
        changed = msgspec.structs.replace(getattr(settings, section), **{key: getattr(getattr(given, section), key)})
        settings = msgspec.structs.replace(settings, **{section: changed})
    return settings


def import_hub(app: str) -> "Hub":
    """Return the hub that `module:hub` names; modules are looked for in the working directory first."""
    from chappe.app import Hub

    module_name, separator, name = app.partition(":")
    if not separator or not module_name or not name:
        raise Failure(T["serve_bad_app"].format(app=app), USAGE)
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise  # the application's own import is missing: its stack says where
        raise Failure(T["serve_no_module"].format(module=module_name), USAGE) from None
    hub = getattr(module, name, None)
    if hub is None:
        raise Failure(T["serve_no_attribute"].format(module=module_name, name=name), USAGE)
    if not isinstance(hub, Hub):
        raise Failure(T["serve_not_a_hub"].format(app=app, kind=type(hub).__name__), USAGE)
    return hub


def run(hub: "Hub", settings: Settings, started: Callable[[str], None] | None = None) -> None:
    """Run a hub with its log until SIGINT or SIGTERM; `started` gets its URL when it accepts connections."""
    from chappe.serving import Server

    server = Server(hub, settings.server.host, settings.server.port)
    version = chappe_version()

    def tell() -> None:
        click.echo(T["serve_ready"].format(version=version, url=server.url))
        _log.info("start: serving %s, process %d", server.url, os.getpid())
        if started is not None:
            started(server.url)

    options = settings.log.options(datetime.datetime.now().astimezone())
    with logging_to(options, details=f"chappe {version}, process {os.getpid()}"):
        if settings.server.dev:
            _log.warning(T["serve_dev_warning"])
        for text in problem_texts(settings):
            _log.warning("%s", text)
        server.run(tell)
        _log.info("stop: served %s", server.url)


def _make_hub(settings: Settings) -> "Hub":
    from chappe.app import Hub

    if settings.server.workers > 1:
        raise Failure(
            T["config_single_workers"].format(workers=settings.server.workers, scheme=scheme_of(settings.broker.url))
        )
    return Hub(settings=settings)
