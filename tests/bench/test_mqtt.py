"""The hub and mosquitto understand every load of MQTT; a broker that is missing is named with its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chappe.bench.comparison import load_for, measure
from chappe.bench.load import LoadError, Problem, run
from chappe.bench.mqtt import MQTT_FINDERS, find_mqtt, mqtt_hub
from chappe.bench.running import running
from chappe.bench.servers import MissingPeer, Server

from .serving import QUICK


def server_of(name: str, folder: Path) -> Server:
    return mqtt_hub(folder) if name == "chappe" else find_mqtt(name)


@pytest.mark.slow
@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize("name", ["chappe", "mosquitto"])
def test_a_broker_understands_every_load(tmp_path: Path, name: str, level: int) -> None:
    server = server_of(name, tmp_path)
    loads = [(kind, qos) for kind in server.speech for qos in (0, 1)]
    with running(server) as up:
        for kind, qos in loads:
            wanted = {**QUICK, "connections": 4, "mqtt": level, "qos": qos}
            result = run(load_for(server, kind, up.port, up.pids, **wanted))
            assert result.opened == 4, kind
            assert (result.lost, result.repeated, result.closed) == (0, 0, 0), kind
            assert (result.deliveries > 3) is (kind != "idle"), kind


@pytest.mark.slow
def test_the_token_of_the_hub_is_needed(tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        measure(mqtt_hub(tmp_path), "idle", **{**QUICK, "password": "nonsense"})
    assert caught.value.problem is Problem.REFUSED
    assert "CONNACK with code" in caught.value.reason


def test_mosquitto_has_a_version_and_keeps_nothing() -> None:
    server = find_mqtt("mosquitto")
    assert server.version[0].isdigit()
    assert "persistence false" in server.files["mosquitto.conf"]


def test_a_broker_that_is_missing_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    environment = tmp_path / "chappe-bench" / "amqtt"
    install = f"python3 -m venv {environment} && {environment}/bin/pip install amqtt"
    with pytest.raises(MissingPeer) as caught:
        find_mqtt("amqtt")
    assert caught.value.install == install
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to("/bin/false")
    with pytest.raises(MissingPeer) as caught:
        find_mqtt("amqtt")
    assert caught.value.install == install
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(MissingPeer) as caught:
        find_mqtt("mosquitto")
    assert caught.value.install == "apt-get install mosquitto"


def test_amqtt_is_found_in_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    python = tmp_path / "chappe-bench" / "amqtt" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 1.2.3\n")
    python.chmod(0o755)
    server: Any = MQTT_FINDERS["amqtt"]()
    assert (server.version, server.command[0]) == ("1.2.3", str(python))
    assert Path(server.command[1]).is_file()
