"""`chappe` lists its commands, and each has a help page with an example."""

import subprocess
import sys

import pytest
from click import Context, Group, Option

from chappe.cli import main

from .conftest import Run

COMMANDS = ["serve", "demo", "connect", "pub", "sub", "token", "config", "doctor", "bench", "version"]


def pages() -> list[list[str]]:
    context = Context(main)
    found: list[list[str]] = [[]]
    for name in COMMANDS:
        found.append([name])
        command = main.get_command(context, name)
        if isinstance(command, Group):
            found += [[name, inner] for inner in command.list_commands(context)]
    return found


def test_the_commands_are_those_of_the_interface() -> None:
    assert main.list_commands(Context(main)) == COMMANDS


@pytest.mark.parametrize("path", pages(), ids=" ".join)
def test_every_help_page_has_an_example(run: Run, path: list[str]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: chappe")
    assert f"  chappe {path[0] if path else ''}" in result.stdout.partition("Examples:")[2]
    assert "Show this message and exit." in result.stdout


@pytest.mark.parametrize("path", pages(), ids=" ".join)
def test_every_option_says_what_it_does(path: list[str]) -> None:
    command = main
    for name in path:
        command = command.get_command(Context(command), name)  # type: ignore[assignment]
    assert not [param.name for param in command.params if isinstance(param, Option) and not param.help]


def test_without_a_command_the_help_page_is_shown(run: Run) -> None:
    result = run()
    assert result.exit_code == 2
    assert "Commands:" in result.stdout


def test_a_mistyped_command_gets_a_suggestion(run: Run) -> None:
    result = run("conect", "ws://x")
    assert result.exit_code == 2
    assert result.stderr == "Error: no command 'conect', did you mean connect? (see 'chappe --help')\n"


def test_the_version_option_prints_one_line(run: Run) -> None:
    assert run("--version").stdout.startswith("chappe 0.")


@pytest.mark.slow
def test_python_m_chappe_is_the_same_command_and_loads_no_server() -> None:
    code = (
        "import sys; from chappe.cli import main; main(['version'], standalone_mode=False);"
        "print('uvicorn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.endswith("False\n")
    done = subprocess.run([sys.executable, "-m", "chappe", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("chappe 0.")


@pytest.mark.slow
def test_a_french_locale_speaks_french() -> None:
    environ = {"LANG": "fr_FR.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"}
    arguments = [sys.executable, "-m", "chappe", "connect", "--frob"]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environ)
    assert done.returncode == 2
    assert done.stderr == "Erreur : option inconnue --frob (voir « chappe connect --help »)\n"
    page = subprocess.run([*arguments[:3], "--help"], capture_output=True, text=True, env=environ).stdout
    assert page.startswith("Utilisation: chappe")
    assert "Affiche ce message et quitte." in page
