"""What `import chappe` offers, and what it must not load."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import chappe

# Fixed: programs rely on these names (they may be joined by others, never renamed).
FIXED = {"Hub", "Refused", "Server", "blocking", "classic", "connect", "websocket"}

LIST_MODULES = "import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"

# What belongs to running a hub. A program that only connects loads none of it (Pyodide has none of it).
OF_THE_HUB = (
    "api",
    "app",
    "asgi",
    "auth",
    "brokers",
    "cli",
    "config",
    "console",
    "hub",
    "server",
    "testing",
    "transports",
)
OF_THE_SERVER = ("click", "httptools", "prometheus_client", "psutil", "starlette", "structlog", "uvicorn", "uvloop")


def modules_after(statement: str) -> set[str]:
    """Run a statement in a fresh interpreter and list the modules it has loaded."""
    program = LIST_MODULES.format(statement=statement)
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return set(json.loads(output))


def server_modules(loaded: set[str]) -> set[str]:
    unwanted = {*(f"chappe.{name}" for name in OF_THE_HUB), *OF_THE_SERVER}
    return {name for name in loaded if name in unwanted or any(name.startswith(f"{each}.") for each in unwanted)}


def test_the_fixed_names_are_exported() -> None:
    assert set(chappe.__all__) >= FIXED


def test_all_is_sorted_without_repetition() -> None:
    assert list(chappe.__all__) == sorted(set(chappe.__all__))


def test_every_exported_name_resolves_and_is_listed() -> None:
    assert set(chappe.__all__) <= set(dir(chappe))
    missing = [name for name in chappe.__all__ if getattr(chappe, name, None) is None]
    assert not missing


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(chappe, "no_such_name")  # noqa: B009  (a type checker would refuse the plain form)


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "import chappe",
        "import chappe; chappe.connect",
        "import chappe; chappe.websocket.connect",
        "import chappe; chappe.classic.connect",
        "import chappe; chappe.blocking.connect",
    ],
)
def test_a_program_that_connects_loads_no_server_module(statement: str) -> None:
    assert not server_modules(modules_after(statement))


@pytest.mark.slow
def test_import_chappe_alone_loads_nothing_of_chappe_but_its_face() -> None:
    loaded = {name for name in modules_after("import chappe") if name.startswith("chappe.")}
    assert not loaded
