"""`chappe serve` turns options into settings, finds the application's hub, and runs until a signal."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chappe.app import Hub
from chappe.cli.grammar import Failure
from chappe.cli.serve import flags_of, import_hub, with_flags

from .conftest import Run

APP = """
from chappe import Hub
hub = Hub(dev=True)
other = 1

@hub.on_stop
def gone():
    print("the application stopped")
"""


def test_options_become_settings_by_dotted_name() -> None:
    options = {"host": "::1", "port": "9000", "root": "echo", "broker": "memory://", "mqtt_port": None, "dev": True}
    assert flags_of(options) == {
        "server.host": "::1",
        "server.port": "9000",
        "server.root_protocol": "echo",
        "broker.url": "memory://",
        "server.dev": True,
    }


def test_flags_go_over_the_settings_of_an_application() -> None:
    settings = with_flags(Hub(dev=True).settings, {"server.port": "9000", "log.level": "DEBUG"})
    assert (settings.server.port, settings.log.level, settings.server.dev) == (9000, "DEBUG", True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--port", "x"), "--port: [server] port = 'x', expected a whole number from 0 to 65535"),
        (("--port", "70000"), "expected a whole number from 0 to 65535"),
        (("--root", "mqtt"), "--root: [server] root_protocol = 'mqtt', expected one of"),
        (("--log-level", "loud"), "--log-level: [log] level = 'loud', expected one of"),
        (("--dev", "--host", "0.0.0.0"), "--dev serves this machine only"),
        (("main",), "'main' is not module:hub"),
        (("nowhere:hub",), "no module 'nowhere' here"),
        (("json:nothing",), "json has no 'nothing'"),
        (("json:dumps",), "is a function, expected a chappe.Hub"),
        (("main:hub", "--dev", "--broker", "memory://"), "--dev, --broker: the application's own hub decides this"),
    ],
)
def test_wrong_use_is_one_line_that_names_it(run: Run, arguments: tuple[str, ...], told: str) -> None:
    result = run("serve", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_broker_that_nobody_knows_is_refused(run: Run) -> None:
    assert "expected one of memory://" in run("serve", "--broker", "kafka://x").stderr


def test_an_import_that_fails_inside_the_application_keeps_its_stack(run: Run) -> None:
    Path("broken.py").write_text("import not_there_at_all\n")
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        import_hub("broken:hub")
    with pytest.raises(Failure):
        import_hub("broken")


@contextmanager
def serving(folder: Path, *arguments: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `chappe serve` on a free port; give its process and URL; kill it if it is still there."""
    command = [sys.executable, "-m", "chappe", *arguments, "--port", "0"]
    environ = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **env}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environ
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, line + process.communicate(timeout=10)[1]
        yield process, next(word for word in line.split() if word.startswith("http"))
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.slow
def test_a_hub_serves_logs_and_stops_at_sigterm(tmp_path: Path) -> None:
    arguments = ("serve", "--dev", "--log-file", "hub.log", "--log-format", "json")
    with serving(tmp_path, *arguments) as (process, url):
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "hub.log").read_text().splitlines()]
    messages = [line["message"] for line in lines]
    assert messages[0].startswith("log starts: chappe ")
    assert any("everybody on this machine may do everything" in message for message in messages)
    assert f"stop: served {url}" in messages
    assert messages[-1].startswith("log ends after")


@pytest.mark.slow
def test_a_log_file_without_a_name_is_named_after_its_start_and_sigint_stops(tmp_path: Path) -> None:
    with serving(tmp_path, "serve", "--log-file") as (process, _):
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 0
    (log,) = tmp_path.glob("websocket_*_*.log")
    text = log.read_text()
    assert "[WARNING] nobody may subscribe or publish: add [namespaces.<name>]" in text


@pytest.mark.slow
def test_an_applications_hub_runs_with_its_hooks(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    with serving(tmp_path, "serve", "main:hub") as (process, _):
        process.terminate()
        out, _ = process.communicate(timeout=10)
        assert "the application stopped" in out


def test_a_port_in_use_is_one_line_with_the_next_step(run: Run, hub_url: str) -> None:
    port = hub_url.rpartition(":")[2]
    result = run("serve", "--dev", "--port", port, "--log-file", "log")
    assert result.exit_code == 1
    assert result.stderr == f"Error: port {port} is in use; stop what listens there, or choose another with --port\n"
