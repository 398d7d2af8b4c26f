"""Errors are one line that names the next step; exit codes are 0, 1, 2 and 130."""

import click
import pytest
from click.testing import CliRunner

from chappe.cli.grammar import Failure, Group, examples
from chappe.config.errors import SettingError
from chappe.model.errors import ChappeError


def outcome(error: BaseException | None = None, arguments: tuple[str, ...] = ("go",)) -> tuple[int, str]:
    @click.group(cls=Group)
    def root() -> None:
        pass

    @root.command("go")
    @click.option("--level", type=click.Choice(["a", "b"]))
    @click.option("--n", type=click.IntRange(min=1))
    @click.option("--m", type=int)
    @click.option("--x", type=float)
    @click.option("--must", required=False)
    def go(**_: object) -> None:
        if error is not None:
            raise error

    result = CliRunner().invoke(root, arguments, prog_name="chappe", catch_exceptions=False)
    return result.exit_code, result.stderr


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (None, 0, ""),
        (Failure("it failed; do this"), 1, "Error: it failed; do this\n"),
        (Failure("wrong", 2), 2, "Error: wrong\n"),
        (ChappeError(103), 1, "Error: permission denied\n"),
        (FileNotFoundError(2, "No such file or directory", "x.txt"), 1, "Error: x.txt: No such file or directory\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (
            SettingError("unknown_key", "hub.toml", section="server", key="prot", suggestion="port"),
            1,
            "Error: hub.toml: [server] prot is not a setting, did you mean port?\n",
        ),
        (
            SettingError("dev_loopback", "--host", value="0.0.0.0"),
            2,
            "Error: --host: --dev serves this machine only, expected a loopback address, got 0.0.0.0\n",
        ),
    ],
)
def test_an_error_ends_the_command_with_its_code_and_one_line(
    error: BaseException | None, code: int, line: str
) -> None:
    found, told = outcome(error)
    assert (found, told.lstrip("\n")) == (code, line)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("go", "--levle", "a"), "no option --levle, did you mean --level?"),
        (("go", "--level"), "--level needs a value"),
        (("go", "--level", "c"), "--level: expected one of a, b"),
        (("go", "--n", "0"), "--n: expected a whole number of at least 1"),
        (("go", "--m", "x"), "--m: expected a whole number"),
        (("go", "--x", "x"), "--x: expected a number"),
        (("goo",), "no command 'goo', did you mean go?"),
        (("--frob",), "no option --frob"),
    ],
)
def test_wrong_use_names_the_option_and_the_help_page(arguments: tuple[str, ...], text: str) -> None:
    code, line = outcome(None, arguments)
    assert code == 2
    command = "chappe go" if arguments[0] == "go" else "chappe"
    assert line == f"Error: {text} (see '{command} --help')\n"


def test_what_nobody_foresaw_keeps_its_stack() -> None:
    with pytest.raises(ZeroDivisionError):
        outcome(ZeroDivisionError())


def test_examples_stand_below_their_title() -> None:
    assert examples("chappe x", "chappe y").splitlines()[1:] == ["Examples:", "  chappe x", "  chappe y"]
