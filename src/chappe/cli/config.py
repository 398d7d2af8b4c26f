"""`chappe config`: show the settings and their origins, check them and the files they name."""

import json
import os
from collections.abc import Callable
from typing import Any

import click
import msgspec

from chappe.cli.grammar import Failure, Group, config_option, examples, json_option
from chappe.cli.texts import T
from chappe.config import Loaded, Settings, load
from chappe.config.checking import Name, Problem, problems
from chappe.config.fields import NAMED, SECRET_KEYS
from chappe.telemetry import REDACTED, redact


@click.group("config", cls=Group, help=T["config"], epilog=examples("chappe config show", "chappe config check"))
def command() -> None:
    """Hold the two subcommands."""


@command.command(
    "show",
    help=T["config_show"],
    epilog=examples("chappe config show", "CHAPPE_SERVER__PORT=9000 chappe config show --changed"),
)
@config_option
@click.option("--changed", is_flag=True, help=T["config_changed"])
@json_option
def show(config_file: str | None, changed: bool, as_json: bool) -> None:
    """Print one line for each setting: name, value, origin."""
    loaded = load(config_file, os.environ)
    rows = [row for row in _rows(loaded) if not changed or row["source"] != "default"]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    if not rows:
        click.echo(T["config_all_default"], err=True)
    width = max((len(f"{row['name']} = {_toml(row['value'])}") for row in rows), default=0)
    for row in rows:
        click.echo(f"{row['name']} = {_toml(row['value'])}".ljust(min(width, 60)) + f"  # {row['from']}")


def _rows(loaded: Loaded) -> list[dict[str, Any]]:
    rows = []
    for section, table in _tables(loaded.settings):
        for key, value in msgspec.to_builtins(table).items():
            name = f"{section}.{key}"
            origin = loaded.origin(name)
            shown = REDACTED if key in SECRET_KEYS and value else _redacted(value)
            rows.append({"name": name, "value": shown, "source": origin.source, "from": str(origin)})
    return rows


def _tables(settings: Settings) -> list[tuple[str, Any]]:
    tables: list[tuple[str, Any]] = []
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        tables += [(f"{name}.{inner}", struct) for inner, struct in value.items()] if name in NAMED else [(name, value)]
    return tables


def _redacted(value: Any) -> Any:
    return redact(value) if isinstance(value, str) else value


def _toml(value: Any) -> str:
    """Write a value as TOML does; JSON's notation is the same for what settings hold."""
    return json.dumps(value, ensure_ascii=False)


@command.command(
    "check", help=T["config_check"], epilog=examples("chappe config check", "chappe config check --config hub.toml")
)
@config_option
@json_option
def check(config_file: str | None, as_json: bool) -> None:
    """Print every problem that can be found without starting the hub; exit 1 if there is one."""
    loaded = load(config_file, os.environ)
    found = problem_texts(loaded.settings)
    if as_json:
        click.echo(json.dumps({"ok": not found, "problems": found}, ensure_ascii=False))
    else:
        for line in found:
            click.echo(line)
        if not found:
            click.echo(T["config_good"])
    if found:
        raise Failure(T["config_problems"].format(count=len(found)))


def problem_texts(settings: Settings, find: Callable[[Settings], list[Problem]] = problems) -> list[str]:
    """Return what is wrong with well-formed settings, in the user's language; `find` looks for it."""
    texts: dict[Name, str] = {
        "closed": T["config_closed"],
        "no_keys": T["config_no_keys"],
        "half_tls": T["config_half_tls"],
        "bare_ca": T["config_bare_ca"],
        "no_client_cert": T["config_no_client_cert"],
        "cookie_origins": T["config_cookie_origins"],
        "insecure": T["config_insecure"],
        "open_bind": T["config_open_bind"],
        "namespace_slash": T["config_namespace_slash"],
        "single_workers": T["config_single_workers"],
        "pending": T["config_pending"],
        "file_missing": T["config_file_missing"],
        "unusable": T["config_unusable"],
        "mqtt_plain": T["config_mqtt_plain"],
        "mqtt_insecure": T["config_mqtt_insecure"],
    }
    meanings = {"api.insecure_open": T["insecure_open"], "auth.insecure_http": T["insecure_http"]}

    def word(problem: Problem) -> str:
        parameters = problem.parameters
        if problem.name == "insecure":
            parameters = {**parameters, "meaning": meanings[str(parameters["setting"])]}
        return texts[problem.name].format(**parameters)

    return [word(problem) for problem in find(settings)]
