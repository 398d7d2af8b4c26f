"""Promises about the shape of the source that no linter keeps: sizes, a test file for each module, a pure core."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "chappe"
TESTS = ROOT / "tests"

MODULE_LINES = 600
FUNCTION_LINES = 60

GENERATED = {PACKAGE / "model" / "error_codes.py"}

# Modules whose tests stand in another file than tests/<package>/test_<module>.py, and why.
TESTED_IN: dict[str, str] = {
    # What it asks is seen where it is answered.
    "auth/asking.py": "auth/test_authorize_webhook.py",
    # Programs of their own: started and measured, never imported.
    **{f"bench/peers/{name}": "bench/test_servers.py" for name in ("aiohttp_server.py", "asgi_app.py")},
    "bench/peers/amqtt_broker.py": "bench/test_mqtt.py",
    "bench/plan.py": "cli/test_bench_mqtt.py",
    **{f"bench/peers/{name}": "bench/test_servers.py" for name in ("picows_server.py", "socketio_server.py")},
    "bench/peers/websockets_server.py": "bench/test_servers.py",
    "hub/cluster/held.py": "hub/cluster/test_locking.py",
    # Parts of a client: what they do is seen in its packets, and after it came back.
    **{f"hub/mqtt/{name}.py": "hub/mqtt/test_client.py" for name in ("carrier", "inbound", "taking", "telling")},
    # Parts of the public `Hub`.
    **{f"{name}.py": "test_app.py" for name in ("publishing", "registering")},
    **{f"hub/mqtt/{name}.py": "hub/mqtt/test_sessions.py" for name in ("away", "records")},
    "transports/mqtt_listener.py": "server/test_mqtt.py",
    "transports/mqtt_link.py": "server/test_mqtt.py",
    # Parts of one broker: what they do is seen at its surface, by fault.
    "brokers/sqlite/broker.py": "brokers/sqlite/test_contract.py",
    "brokers/sqlite/loading.py": "brokers/sqlite/test_damage.py",
    **{f"brokers/sqlite/{name}.py": "brokers/sqlite/test_faults.py" for name in ("database", "examination")},
    **{f"brokers/sqlite/{name}.py": "brokers/sqlite/test_restart.py" for name in ("backlog", "file_clock", "mirror")},
    "brokers/sqlite/group.py": "brokers/sqlite/test_model.py",
    # A folder of tests named `nats` would hide the library; what a real server shows is shown of all parts together.
    **{
        f"brokers/nats/{name}.py": "brokers/jetstream/test_contract.py"
        for name in ("acks", "births", "broker", "channels", "feed", "publishing", "record")
    },
    **{f"brokers/nats/{name}.py": f"brokers/jetstream/test_{name}.py" for name in ("local", "options", "subjects")},
    **{f"brokers/nats/{name}.py": "brokers/jetstream/test_model.py" for name in ("conditions", "reading")},
    **{
        f"brokers/nats/{name}.py": "brokers/jetstream/test_faults.py"
        for name in ("connection", "examination", "streams")
    },
}

BELOW_THE_LINE = ("model", "wire", "protocols", "hub")

# Top-level modules of the public face: they may not be imported from inside, or `import chappe` would load itself.
PUBLIC = ("__init__.py", "__main__.py")

IMPURE_CALLS = {"open", "print", "input", "breakpoint"}
CLOCK_READS = {"now", "utcnow", "today"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def native_modules() -> list[Path]:
    return sorted(path for ending in ("pyx", "pxd", "pxi") for path in PACKAGE.rglob(f"*.{ending}"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    first = function.body[0]
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return function.body[1:] if documented else function.body


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function, decorators and docstring left out."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    body = body_without_docstring(function)
    if len(body) < len(function.body):
        docstring = function.body[0]
        total -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return total


def is_declaration(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function only declares a face: a docstring, an ellipsis, nothing else."""
    return all(
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body_without_docstring(function)
    )


def has_code(tree: ast.Module) -> bool:
    return any(not is_declaration(function) for function in functions(tree))


def core_modules() -> list[Path]:
    return [path for path in modules() if path.relative_to(PACKAGE).parts[0] in BELOW_THE_LINE]


def test_no_module_is_longer_than_600_lines() -> None:
    lengths = {name_of(path): path.read_text(encoding="utf-8").count("\n") for path in [*modules(), *native_modules()]}
    too_long = {name: lines for name, lines in lengths.items() if lines > MODULE_LINES}
    assert not too_long


def test_no_function_is_longer_than_60_lines() -> None:
    too_long = {
        f"{name_of(path)}:{function.lineno} {function.name}": length(function)
        for path in modules()
        for function in functions(tree_of(path))
        if length(function) > FUNCTION_LINES
    }
    assert not too_long


def test_every_module_with_code_has_a_test_file_of_its_name() -> None:
    missing = []
    for path in modules():
        if path in GENERATED or path.name in PUBLIC or not has_code(tree_of(path)):
            continue
        own = TESTS / path.relative_to(PACKAGE).with_name(f"test_{path.stem.lstrip('_')}.py")
        elsewhere = TESTED_IN.get(name_of(path))
        if not own.is_file() and not (elsewhere and (TESTS / elsewhere).is_file()):
            missing.append(f"{name_of(path)} -> {own.relative_to(ROOT)}")
    assert not missing, "\n".join(missing)


def test_the_list_of_modules_tested_elsewhere_is_current() -> None:
    gone = [name for name in TESTED_IN if not (PACKAGE / name).is_file()]
    needless = [name for name in TESTED_IN if (TESTS / Path(name).with_name(f"test_{Path(name).stem}.py")).is_file()]
    assert not gone
    assert not needless


def test_every_package_says_what_lives_in_it() -> None:
    packages = [path for path in modules() if path.name == "__init__.py"]
    silent = [name_of(path) for path in packages if not ast.get_docstring(tree_of(path))]
    without_init = [
        folder.relative_to(PACKAGE).as_posix()
        for folder in {path.parent for path in modules()}
        if not (folder / "__init__.py").is_file()
    ]
    assert not silent
    assert not without_init


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_names = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}
    assert not [name_of(path) for path in modules() if path.stem in empty_names]


def impurities(tree: ast.Module) -> Iterator[str]:
    """Name what a module below the line must not do: await, read a clock, touch the world."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"line {node.lineno}: awaits"
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in IMPURE_CALLS:
                yield f"line {node.lineno}: calls {called.id}"
            elif isinstance(called, ast.Attribute) and called.attr in CLOCK_READS and is_clock(called.value):
                yield f"line {node.lineno}: reads the clock"


def is_clock(node: ast.expr) -> bool:
    """Tell whether an expression is `datetime`, `date`, or ends in one of them (`datetime.datetime`)."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in {"datetime", "date"}


def test_nothing_below_the_line_awaits_or_reads_a_clock() -> None:
    found = {name_of(path): list(impurities(tree_of(path))) for path in core_modules()}
    assert not {name: problems for name, problems in found.items() if problems}


@pytest.mark.parametrize(
    "source",
    [
        "async def f(x):\n    await x",
        "async def f(x):\n    async with x: pass",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "open('x')",
    ],
)
def test_the_search_for_impurities_finds_them(source: str) -> None:
    assert list(impurities(ast.parse(source)))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_no_module_imports_the_public_face_from_inside() -> None:
    users = {"__init__.py", "__main__.py"}
    inside = [
        path for path in modules() if name_of(path) not in users and "apps" not in path.relative_to(PACKAGE).parts
    ]
    assert not [name_of(path) for path in inside if "chappe" in set(imported(tree_of(path)))]


def test_no_native_module_imports_upwards() -> None:
    # import-linter does not see .pyx files: below the line they may name only what lies below as well.
    below = tuple(f"chappe.{name}" for name in BELOW_THE_LINE)
    wrong = []
    for path in native_modules():
        if path.relative_to(PACKAGE).parts[0] not in BELOW_THE_LINE:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            words = [*line.split(), "", ""]
            names_chappe = words[0] in {"from", "import", "cimport"} and words[1].startswith("chappe")
            if names_chappe and not words[1].startswith(below):
                wrong.append(f"{name_of(path)}: {line.strip()}")
    assert not wrong
