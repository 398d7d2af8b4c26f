"""The files of deploy/ fit the hub: its command line, its times, its shutdown."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click

from chappe.cli import main as chappe
from chappe.config import Settings
from tests.docs.library import ROOT

UNIT = ROOT / "deploy/systemd/chappe.service"
NGINX = ROOT / "deploy/nginx/chappe.conf"
CADDY = ROOT / "deploy/caddy/Caddyfile"
HAPROXY = ROOT / "deploy/haproxy/haproxy.cfg"
SETTINGS = Settings()
#: Seconds that HTTP requests get after the drain of the connections.
REQUESTS_S = 5


def unit() -> configparser.ConfigParser:
    """Read the unit."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser


def test_the_unit_starts_a_command_that_exists() -> None:
    program, name, *options = unit()["Service"]["ExecStart"].split()
    assert program.endswith("/bin/chappe")
    command = chappe.get_command(click.Context(chappe), name)
    assert command is not None
    command.make_context(name, options)


def test_systemd_waits_longer_than_the_hub_drains() -> None:
    assert float(unit()["Service"]["TimeoutStopSec"]) > SETTINGS.server.drain_timeout_s + REQUESTS_S
    assert unit()["Service"]["KillSignal"] == "SIGTERM"


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    """Where there is no systemd the directives are compared with the ones that were verified."""
    copy = tmp_path / "chappe.service"
    text = UNIT.read_text(encoding="utf-8").replace("/opt/chappe/.venv/bin/chappe", sys.executable)
    copy.write_text(text, encoding="utf-8")
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "chappe.service" not in done.stderr
    assert set(unit().sections()) == {"Unit", "Service", "Install"}


def test_nginx_waits_longer_than_the_longest_silence_of_a_session() -> None:
    text = NGINX.read_text(encoding="utf-8")
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        found = re.search(rf"{name}\s+(\d+)s;", text)
        assert found
        assert int(found[1]) > SETTINGS.limits.background_idle_s


def test_haproxy_waits_longer_than_the_longest_silence_of_a_session() -> None:
    text = HAPROXY.read_text(encoding="utf-8")
    for name in ("client", "server", "tunnel"):
        found = re.search(rf"timeout {name} (\d+)s\n", text)
        assert found
        assert int(found[1]) > SETTINGS.limits.background_idle_s


def test_all_proxies_lead_to_the_default_port_and_keep_the_api_private() -> None:
    for file in (NGINX, CADDY, HAPROXY):
        text = file.read_text(encoding="utf-8")
        assert f"127.0.0.1:{SETTINGS.server.port}" in text
        assert "api" in text
        assert "metrics" in text
    assert NGINX.read_text(encoding="utf-8").count("{") == NGINX.read_text(encoding="utf-8").count("}")
