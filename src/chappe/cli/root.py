"""Define the `chappe` command and name the modules of its subcommands."""

import click

from chappe.cli.grammar import LazyGroup, examples
from chappe.cli.texts import T

_MODULES = {
    "serve": "chappe.cli.serve",
    "demo": "chappe.cli.demo",
    "connect": "chappe.cli.connect",
    "pub": "chappe.cli.publish",
    "sub": "chappe.cli.subscribe",
    "token": "chappe.cli.token",
    "config": "chappe.cli.config",
    "doctor": "chappe.cli.doctor",
    "bench": "chappe.cli.bench",
    "version": "chappe.cli.version",
}


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from chappe.cli.version import chappe_version

        click.echo(f"chappe {chappe_version()}")
        ctx.exit()


main = LazyGroup(
    "chappe",
    modules=_MODULES,
    help=T["root"],
    epilog=examples("chappe demo", "chappe serve --dev", "chappe connect ws://127.0.0.1:8080 --name Ada"),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help=T["version_option"],
        )
    ],
)
