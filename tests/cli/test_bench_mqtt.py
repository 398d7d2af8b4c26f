"""`chappe bench mqtt` measures several loads in one run, beside brokers or at a URL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chappe.bench.mqtt import find_mqtt
from chappe.bench.running import running

from .conftest import Run

SHORT = ("--seconds", "0.4", "--rounds", "1", "-n", "4")


@pytest.mark.slow
@pytest.mark.timeout(120)  # the hub is started for each load
def test_each_load_has_its_table(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    result = run("bench", "mqtt", "--vs", "mosquitto", "--load", "fanout,idle", "--png", str(picture), *SHORT)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("mqtt ")] == ["mqtt fanout", "mqtt idle"]
    assert len([line for line in lines if line.startswith("mosquitto 2.")]) == 2
    assert lines[-1].startswith("Measured on ")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_without_a_choice_all_are_measured_but_one(run: Run) -> None:
    with running(find_mqtt("mosquitto")) as up:
        url = f"mqtt://127.0.0.1:{up.port}"
        measured = json.loads(run("bench", "mqtt", "--url", url, "--json", *SHORT).stdout)
    kinds = ["mqtt fanout", "mqtt one-to-one", "mqtt one-to-one-qos1", "mqtt idle"]
    assert [each["kind"] for each in measured] == kinds
    assert all(each["rounds"][0]["deliveries"] > 3 for each in measured[:3])
    assert all(each["rounds"][0]["lost"] == 0 for each in measured)


@pytest.mark.slow
def test_a_broker_that_runs_is_measured_by_its_url(run: Run) -> None:
    with running(find_mqtt("mosquitto")) as up:
        url = f"mqtt://ada:secret@127.0.0.1:{up.port}"
        result = run(
            *("bench", "mqtt", "--url", url, "--pid", str(up.pids[0]), "--load", "one-to-one-qos1", "--json"), *SHORT
        )
    (each,) = json.loads(result.stdout)
    assert each["rounds"][0]["deliveries"] > 3
    assert each["per_cpu_s"]["median"] > 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("mqtt", "--load", "nope"), "no load 'nope'; there are fanout, fanout-qos1, one-to-one"),
        (("mqtt", "--load", "one-to-one", "-n", "3"), "one to one takes pairs of connections, 3 is odd"),
        (("mqtt", "--load", "fanout,idle", "--rate", "5"), "--rate is for fanout"),
        (("mqtt", "--vs", "floor"), "no server 'floor' to stand beside; there are mosquitto, amqtt"),
        (("mqtt", "--url", "ws://127.0.0.1:1/"), "expected mqtt://USER:PASSWORD@HOST:PORT"),
        (("echo", "--load", "fanout"), "--load is for mqtt"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: tuple[str, ...], text: str) -> None:
    result = run("bench", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr
