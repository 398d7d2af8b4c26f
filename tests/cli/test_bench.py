"""`chappe bench` measures a hub it starts, a server that runs, and peers beside it; errors name the next step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chappe.bench.comparison import Measured
from chappe.bench.load import LoadError, Problem
from chappe.bench.running import running
from chappe.bench.servers import find
from chappe.cli import bench as module

from .conftest import Run

#: As short as a run can be.
SHORT = ("--seconds", "0.6", "--rounds", "1", "-n", "4")


@pytest.mark.slow
def test_a_hub_is_started_measured_and_shown(run: Run) -> None:
    result = run("bench", "echo", *SHORT)
    assert result.exit_code == 0
    head, line, *rest = result.stdout.splitlines()
    assert head.startswith("server")
    assert "messages/s: median (min-max)" in head
    assert line.startswith("chappe 0.")
    assert any("█" in text for text in rest)
    assert rest[-1].startswith("Measured on ")


@pytest.mark.slow
def test_peers_stand_beside_it_and_a_picture_is_drawn(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    result = run("bench", "fanout", "--vs", "floor, websockets", "--json", "--png", str(picture), *SHORT)
    measured = json.loads(result.stdout)
    assert [each["server"] for each in measured] == ["chappe", "floor", "websockets"]
    assert all(each["rounds"][0]["deliveries"] > 0 and each["per_cpu_s"]["median"] > 0 for each in measured)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"drawn into {picture}" in result.stderr


@pytest.mark.slow
def test_idle_shows_memory(run: Run) -> None:
    result = run("bench", "idle", *SHORT)
    assert "KB per connection" in result.stdout
    assert "kernel KB, both ends" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["echo", "fanout", "publish", "rooms", "idle"])
def test_a_hub_that_runs_is_measured_by_its_url(run: Run, hub_url: str, kind: str) -> None:
    result = run("bench", kind, "--url", hub_url, "--json", *SHORT)
    assert result.exit_code == 0, result.stderr
    (each,) = json.loads(result.stdout)
    assert each["rounds"][0]["opened"] == 4
    assert (each["rounds"][0]["deliveries"] > 0) is (kind != "idle")


@pytest.mark.slow
def test_any_server_that_broadcasts_is_measured_with_plain(run: Run) -> None:
    with running(find("floor")) as up:
        url = f"ws://127.0.0.1:{up.port}/fan"
        result = run("bench", "fanout", "--url", url, "--plain", "--pid", str(up.pids[0]), "--rate", "50", *SHORT)
    assert result.exit_code == 0
    assert "deliveries/s" in result.stdout
    assert " - " not in result.stdout.splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("echo", "--rate", "5"), "--rate is for fanout"),
        (("echo", "--vs", "nope"), "no server 'nope' to stand beside; there are websockets, picows"),
        (("echo", "--vs", "ws", "--url", "ws://127.0.0.1:1/"), "--url and --vs exclude each other"),
        (("echo", "--url", "127.0.0.1:8080"), "expected ws://HOST:PORT/PATH"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: tuple[str, ...], text: str) -> None:
    result = run("bench", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr


def test_nobody_at_the_url_is_one_line(run: Run, free_port: int) -> None:
    result = run("bench", "echo", "--url", f"ws://127.0.0.1:{free_port}/", *SHORT)
    assert result.exit_code == 1
    assert result.stderr == "Error: connect: Connection refused; is the server there? Check --url\n"


def test_a_path_that_is_none_is_one_line(run: Run, hub_url: str) -> None:
    result = run("bench", "echo", "--url", f"{hub_url}/nowhere", *SHORT)
    assert result.exit_code == 1
    assert "the server refused a connection: HTTP/1.1 404" in result.stderr


@pytest.mark.slow
def test_a_peer_that_is_missing_is_left_out_with_its_remedy(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("bench", "publish", "--vs", "floor,websockets", "--json", *SHORT)
    assert "floor is not installed, left out; get it with: apt-get install gcc" in result.stderr
    assert "websockets has nothing like publish, left out" in result.stderr
    assert [each["server"] for each in json.loads(result.stdout)] == ["chappe"]


@pytest.mark.parametrize("problem", [problem for problem in Problem if problem is not Problem.INTERRUPTED])
def test_every_problem_names_the_next_step(run: Run, monkeypatch: pytest.MonkeyPatch, problem: Problem) -> None:
    def fail(*_: Any) -> list[Measured]:
        raise LoadError(problem, "what it said", 20_000, 30_000)

    monkeypatch.setattr(module, "_measure", fail)
    result = run("bench", "echo")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert any(sign in result.stderr for sign in (";", "fewer", ": "))
    assert "{" not in result.stderr
    if problem is Problem.FILES:
        assert "30000 connections need more files than this process may open (20000)" in result.stderr
