"""`chappe doctor` looks at the machine and says what to do next."""

import json
import socket
from pathlib import Path

import pytest

from chappe.app import Hub
from chappe.testing import running_hub
from tests.brokers.redis.engines import engine

from .conftest import Run


def findings(run: Run, *arguments: str, **env: str) -> dict[str, dict[str, str]]:
    rows = json.loads(run("doctor", "--json", *arguments, env=env).stdout)
    return {row["check"]: row for row in rows}


def test_it_names_what_is_in_place(run: Run, free_port: int) -> None:
    result = run("doctor", env={"CHAPPE_SERVER__PORT": str(free_port)})
    assert result.exit_code == 0
    assert f"✓ port: 127.0.0.1:{free_port} free" in result.stdout
    assert "✓ python: " in result.stdout
    assert result.stdout.endswith("everything needed is in place\n")


def test_a_port_in_use_fails_with_a_next_step(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        result = run("doctor", env={"CHAPPE_SERVER__PORT": str(port)})
    assert result.exit_code == 1
    assert f"✗ port: 127.0.0.1:{port}: Address already in use - stop the program" in result.stdout
    assert result.stderr.startswith("Error: 1 check(s) failed")


def test_an_address_of_another_machine_is_told(run: Run) -> None:
    port = findings(run, CHAPPE_SERVER__HOST="192.0.2.1")["port"]
    assert port["state"] == "failed"
    assert "server.host" in port["next_step"]


def test_a_wrong_setting_is_a_finding(run: Run) -> None:
    Path("chappe.toml").write_text("[server]\nport = 'x'\n")
    found = findings(run)
    assert found["configuration"]["state"] == "failed"
    assert "expected a whole number" in found["configuration"]["found"]
    assert "port" not in found


def test_a_hub_that_runs_is_reached(run: Run, hub_url: str) -> None:
    assert findings(run, "--url", hub_url)["hub"]["state"] == "ok"
    assert findings(run, "--url", hub_url.replace("http", "ws"))["hub"]["state"] == "ok"


def test_a_hub_that_does_not_run_is_told(run: Run, free_port: int) -> None:
    hub = findings(run, "--url", f"http://127.0.0.1:{free_port}")["hub"]
    assert hub["state"] == "failed"
    assert "chappe serve" in hub["next_step"]


def test_it_says_which_way_bytes_go(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chappe.cli.doctor.obstacle", lambda tls: "tls" if tls else None)
    assert findings(run)["data plane"]["found"] == "native"
    assert findings(run, CHAPPE_SERVER__DATA_PLANE="portable")["data plane"]["state"] == "ok"
    under_tls = findings(run, CHAPPE_SERVER__CERT="c.pem", CHAPPE_SERVER__KEY="k.pem")["data plane"]
    assert (under_tls["state"], under_tls["found"]) == ("ok", "portable (the native one serves no TLS)")


def test_what_was_not_compiled_comes_with_a_next_step(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chappe.cli.doctor.obstacle", lambda tls: "not_built")
    monkeypatch.setattr("chappe.cli.doctor.NATIVE", False)
    found = findings(run)
    for check in ("codec", "data plane"):
        assert found[check]["state"] == "warning"
        assert "install a C compiler" in found[check]["next_step"]
    asked = findings(run, CHAPPE_SERVER__DATA_PLANE="native")["data plane"]
    assert asked["state"] == "failed"
    assert "write auto" in asked["next_step"]


async def test_it_verifies_the_file_of_a_broker(run: Run, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/hub.db"

    def broker() -> dict[str, str]:
        return findings(run, CHAPPE_BROKER__URL=url)["broker"]

    assert broker()["found"].endswith("hub.db: not there yet, the hub makes it")
    async with running_hub(Hub(dev=True, broker=url)) as running:
        await running.hub.publish("news", "hello")
        assert (broker()["state"], "a hub runs on it" in broker()["found"]) == ("ok", True)
    assert "1 channels, 1 publications, every row and index verified" in broker()["found"]
    (tmp_path / "hub.db-witness").write_text("?")
    assert broker()["state"] == "warning"
    (tmp_path / "hub.db").write_bytes(b"?" * 5000)
    assert broker()["state"] == "failed"
    assert "name another file" in broker()["found"]


def test_a_broker_without_a_file_needs_no_line(run: Run) -> None:
    assert "broker" not in findings(run)
    assert "broker" not in findings(run, CHAPPE_BROKER__URL="sqlite://hub.db?sync=off")


def test_a_nats_server_that_does_not_answer_fails_with_a_next_step(run: Run) -> None:
    rows = findings(run, CHAPPE_BROKER__URL="nats://hunter2@127.0.0.1:1/")
    assert rows["nats-py"]["state"] == "ok"
    assert rows["broker"]["state"] == "failed"
    assert "nats-server" in rows["broker"]["next_step"]
    assert "hunter2" not in str(rows)


@pytest.mark.slow
def test_a_redis_that_is_there_or_not_is_told(run: Run, free_port: int) -> None:
    with engine("redis") as redis:
        assert findings(run, CHAPPE_BROKER__URL=redis.url)["broker"]["state"] == "ok"
    broker = findings(run, CHAPPE_BROKER__URL=f"redis://:hunter2@127.0.0.1:{free_port}")["broker"]
    assert broker["state"] == "failed"
    assert "broker.url" in broker["next_step"]
    assert "hunter2" not in str(broker)
    assert findings(run, CHAPPE_BROKER__URL="redis://x:y:z")["broker"]["state"] == "failed"
