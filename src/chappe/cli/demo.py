"""`chappe demo`: an open hub on this machine that has something to show."""

import os
import webbrowser
from typing import Any

import click

from chappe.cli.grammar import Command, examples
from chappe.cli.serve import flags_of, run
from chappe.cli.texts import T
from chappe.config import load


@click.command("demo", cls=Command, help=T["demo"], epilog=examples("chappe demo", "chappe demo --port 9000 --open"))
@click.option("--host", help=T["serve_host"])
@click.option("--port", metavar="PORT", help=T["serve_port"])
@click.option("--log-level", metavar="LEVEL", default="WARNING", show_default=True, help=T["serve_log_level"])
@click.option("--open", "open_browser", is_flag=True, help=T["demo_open"])
def command(open_browser: bool, **options: Any) -> None:
    """Run with the `--dev` profile; no configuration file is read, so that a demo is the same everywhere."""
    from chappe.app import Hub

    settings = load(os.devnull, os.environ, flags_of(options | {"dev": True})).settings
    hub = Hub(settings=settings)

    @hub.on_start
    async def greet() -> None:
        await hub.publish("chat/lobby", {"type": "message", "content": T["demo_hello"], "username": "Chappe"})

    run(hub, settings, lambda url: _invite(url, open_browser))


def _invite(url: str, open_browser: bool) -> None:
    click.echo(T["demo_ready"].format(url=url))
    click.echo(f"  chappe connect {url} --name Ada")
    click.echo(f"  chappe pub chat/lobby hello --url {url}")
    if open_browser:
        webbrowser.open(url)
