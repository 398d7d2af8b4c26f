"""`chappe version`: say what runs here."""

import importlib.metadata
import json
import platform

import click

from chappe.cli.grammar import Command, examples, json_option
from chappe.cli.texts import T
from chappe.transports.data_plane import choose
from chappe.wire.websocket import NATIVE

#: What decides how the hub behaves, beside Python.
PARTS = ("uvicorn", "uvloop", "httptools", "websockets", "msgspec", "starlette", "aiofastnet")


def chappe_version() -> str:
    """Return the version of this package."""
    return importlib.metadata.version("chappe")


def versions() -> dict[str, str]:
    """Return name and version of Chappe, Python, the system and the parts that are installed."""
    found = {
        "chappe": chappe_version(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for part in PARTS:
        try:
            found[part] = importlib.metadata.version(part)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["codec"] = "native" if NATIVE else "pure"
    found["data plane"] = choose("auto")
    return found


@click.command("version", cls=Command, help=T["version"], epilog=examples("chappe version", "chappe version --json"))
@json_option
def command(as_json: bool) -> None:
    """Print the versions."""
    if as_json:
        click.echo(json.dumps(versions()))
        return
    for name, version in versions().items():
        click.echo(f"{name:<11} {version}")
