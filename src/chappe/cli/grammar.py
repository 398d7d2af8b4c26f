"""Give every command the same looks: the user's language, one-line errors that name the next step, exit codes.

Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted.
"""

import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn, TypeVar

import click

from chappe.cli.texts import T
from chappe.cli.wording import word_setting_error
from chappe.config.errors import SettingError
from chappe.model.errors import ChappeError

FAILED, USAGE, INTERRUPTED = 1, 2, 130

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class Failure(click.ClickException):
    """End the command with one line on standard error and an exit code."""

    def __init__(self, text: str, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.code = exit_code


def examples(*lines: str) -> str:
    """Return the end of a help page: commands that a reader can copy."""
    return "\b\n" + "\n".join([T["examples"], *(f"  {line}" for line in lines)])


def json_option(command: _Decorated) -> _Decorated:
    """Add `--json` as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=T["json_option"])(command)


def config_option(command: _Decorated) -> _Decorated:
    """Add `--config FILE` as the parameter `config_file`."""
    return click.option("--config", "config_file", metavar="FILE", help=T["config_option"])(command)


class Command(click.Command):
    """A command whose help page is in the user's language."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and let every error know which command it belongs to: click forgets it for some."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the line that shows how to call the command."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), f"{T['usage']}: ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of options."""
        with formatter.section(T["options"]):
            formatter.write_dl(self.option_records(ctx))

    def option_records(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return each option with what it does; defaults are named in the user's language."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
        return [(names, text.replace("[default: ", T["default_mark"])) for names, text in records]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return `--help` with its text in the user's language."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = T["help_option"]
        return option


class Group(Command, click.Group):
    """A group of commands; `main` turns every error into one line and an exit code."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of options, then the table of commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with the first sentence of its help."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section(T["commands"]):
            formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in found if command])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, or say which one is near."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            if name.startswith("-"):
                raise click.NoSuchOption(name, ctx=ctx)
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            text = T["no_such_command"].format(name=name)
            raise click.UsageError(_suggest(text, near[0] if near else ""), ctx)
        return name, command, args[1:]

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit; with `standalone_mode=False` errors are raised as click raises them."""
        try:
            code = super().main(args, prog_name, complete_var, False, **extra)
        except Exception as error:
            if not standalone_mode:
                raise
            _end(error)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code


def _end(error: Exception) -> NoReturn:
    """Exit with the code of an error and one line about it; what nobody expected is raised again, with its stack."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.message)
            sys.exit(USAGE)
        case Failure():
            _exit(error.format_message(), error.code)
        case click.ClickException():
            _exit(_word(error), error.exit_code)
        case SettingError():
            _exit(word_setting_error(error), USAGE if error.where.startswith("--") else FAILED)
        case ChappeError():
            _exit(error.reason, FAILED)
        case click.Abort():
            sys.exit(INTERRUPTED)
        case BrokenPipeError():
            _leave_closed_pipe()
        case OSError():
            _exit(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), FAILED)
    raise error


class LazyGroup(Group):
    """A group that imports a command's module when the command is asked for: `chappe version` loads no server."""

    def __init__(self, *args: Any, modules: dict[str, str], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order a newcomer needs them."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command: the attribute `command` of its module."""
        if cmd_name not in self._modules:
            return None
        command: click.Command = import_module(self._modules[cmd_name]).command
        return command


def _suggest(text: str, suggestion: str) -> str:
    return T["did_you_mean"].format(text=text, suggestion=suggestion) if suggestion else text


def _word(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError):
        return error.format_message()
    command = error.ctx.command_path if error.ctx else "chappe"
    return T["see_help"].format(text=_usage_text(error), command=command)


def _usage_text(error: click.UsageError) -> str:
    match error:
        case click.NoSuchOption():
            near = get_close_matches(error.option_name, error.possibilities or [], n=1, cutoff=0.0)
            return _suggest(T["no_such_option"].format(option=error.option_name), near[0] if near else "")
        case click.BadOptionUsage():
            return T["option_needs_value"].format(option=error.option_name)
        case click.MissingParameter():
            return T["missing_argument"].format(name=_name(error.param))
        case click.BadParameter() if error.param is not None:
            return T["bad_value"].format(name=_name(error.param), expected=_expected(error.param, error.message))
    return error.message


def _name(param: click.Parameter | None) -> str:
    if param is None:
        return "?"
    return param.opts[-1] if isinstance(param, click.Option) else param.make_metavar(click.Context(Command("chappe")))


def _expected(param: click.Parameter, message: str) -> str:
    match param.type:
        case click.Choice(choices=choices):
            return T["expect_choice"].format(choices=", ".join(str(choice) for choice in choices))
        case click.IntRange(min=low) if low is not None:
            return T["expect_at_least"].format(kind=T["expect_whole"], low=low)
        case click.types.IntParamType():
            return T["expect_whole"]
        case click.types.FloatParamType():
            return T["expect_number"]
    return message


def _exit(text: str, code: int) -> NoReturn:
    click.echo(T["error"].format(text=text), err=True)
    sys.exit(code)


def _leave_closed_pipe() -> NoReturn:
    """End quietly when the reader of our output went away (`chappe sub news | head -1`)."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    sys.exit(0)
