"""`chappe pub` and `chappe sub` at an outside broker: a real mosquitto, and what it refuses."""

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chappe.cli.texts.english import ENGLISH
from chappe.cli.texts.french import FRENCH
from tests.bridges.mqtt.authority import Authority
from tests.bridges.mqtt.mosquitto import OPEN, Mosquitto, mosquitto, program

from .conftest import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def server() -> Iterator[Mosquitto]:
    with mosquitto(*OPEN) as broker:
        yield broker


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_what_is_published_is_printed(run: Run, server: Mosquitto, qos: str, version: str) -> None:
    url = f"mqtt://127.0.0.1:{server.port}/cli/{qos}/{version}"
    how = ("--qos", qos, "--mqtt-version", version)
    done = run("pub", url, '{"t": 21}', "--retain", "--json", *how)
    assert json.loads(done.stdout) == {"topic": f"cli/{qos}/{version}", "qos": int(qos), "retain": True}
    shown = json.loads(run("sub", url, "--count", "1", "--json", *how).stdout)
    assert shown == {"topic": f"cli/{qos}/{version}", "data": {"t": 21}, "qos": int(qos), "retain": True}
    assert run("sub", url, "--count", "1").stdout == '{"t": 21}\n'


def test_a_pattern_names_the_topics_and_bytes_stay_bytes(run: Run, server: Mosquitto) -> None:
    root = f"mqtt://127.0.0.1:{server.port}/bytes"
    for name, payload in (("a", b"\xff\x00"), ("b", "é".encode())):
        assert run("pub", f"{root}/{name}", "-", "--retain", "--qos", "1", stdin=payload).exit_code == 0
    lines = run("sub", f"{root}/#", "--count", "2").stdout.splitlines()
    assert sorted(lines) == ["bytes/a ff00", "bytes/b é"]
    told = run("sub", f"{root}/+", "--count", "2", "--json").stdout.splitlines()
    assert {json.loads(line)["topic"]: json.loads(line)["data"] for line in told} == {
        "bytes/a": {"$base64": "/wA="},
        "bytes/b": "é",
    }


def test_it_comes_back_after_a_cut(run: Run) -> None:
    with mosquitto(*OPEN) as broker:
        again = threading.Thread(target=lambda: restart(broker))
        again.start()
        result = run("sub", f"mqtt://127.0.0.1:{broker.port}/x", "--count", "1", "--qos", "1")
        again.join()
        assert (result.exit_code, result.stdout) == (0, "after\n")
        assert "reconnecting, attempt 1" in result.stderr


def restart(broker: Mosquitto) -> None:
    """Kill the broker under a subscriber, then publish."""
    while "Sending SUBACK" not in broker.log:
        threading.Event().wait(0.01)
    broker.kill()
    broker.start()
    while broker.log.count("Sending SUBACK") < 2:
        threading.Event().wait(0.01)
    message = ["-h", "127.0.0.1", "-p", str(broker.port), "-t", "x", "-m", "after", "-q", "1"]
    subprocess.run([program("mosquitto_pub"), *message], check=True)


def test_a_password_comes_from_a_file_or_a_variable_and_a_wrong_one_is_told(run: Run, tmp_path: Path) -> None:
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    passwords.touch()
    secret.write_text("lovelace\n")
    subprocess.run([program("mosquitto_passwd"), "-b", str(passwords), "ada", "lovelace"], check=True)
    with mosquitto("allow_anonymous false", f"password_file {passwords}") as broker:
        url = f"mqtt://127.0.0.1:{broker.port}/x"
        assert run("pub", url, "1", "--user", "ada", "--password-file", str(secret), "--qos", "1").exit_code == 0
        variable = {"CHAPPE_MQTT_PASSWORD": "lovelace"}
        assert run("pub", url, "1", "--user", "ada", "--qos", "1", env=variable).exit_code == 0
        result = run("pub", url, "1", "--user", "ada", env={"CHAPPE_MQTT_PASSWORD": "byron-s"})
        assert result.exit_code == 1
        assert "refuses the login (Not authorized): check --user and the password" in result.stderr
        assert "byron-s" not in result.output


def test_certificates_are_checked_and_the_reason_is_told(run: Run, authority: Authority) -> None:
    with mosquitto(*OPEN, *authority.lines(client=True)) as broker:
        url = f"mqtts://127.0.0.1:{broker.port}/x"
        shown = ("--cert", f"{authority.client}.pem", "--cert-key", f"{authority.client}.key")
        assert run("pub", url, "1", "--qos", "1", "--ca", str(authority.ca), *shown).exit_code == 0
        stranger = run("pub", url, "1", *shown)
        assert (stranger.exit_code, "is not trusted" in stranger.stderr, "--ca" in stranger.stderr) == (1, True, True)
        nobody = run("pub", url, "1", "--qos", "1", "--ca", str(authority.ca))
        assert nobody.exit_code == 1
        loud = run("pub", url, "1", "--qos", "1", "--insecure", *shown)
        assert (loud.exit_code, "WARNING" in loud.stderr) == (0, True)


def test_nobody_there_is_one_line(run: Run, free_port: int) -> None:
    result = run("pub", f"mqtt://127.0.0.1:{free_port}/x", "1")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("pub", "mqtt://h", "1"), "names no topic"),
        (("pub", "mqtt://h/a/+", "1"), "names no topic"),
        (("sub", "mqtt://h"), "names no topic"),
        (("sub", "mqtt://h/a", "mqtt://other/b"), "one broker"),
        (("sub", "mqtt://h/a", "b"), "one broker"),
        (("pub", "mqtt://h/a", "1", "--key", "k"), "--key: not for this"),
        (("sub", "mqtt://h/a", "--since", "1"), "--since: not for this"),
        (("pub", "mqtt://h/a", "1", "--ca", "x"), "--ca: not for this"),
        (("pub", "a", "1", "--qos", "1", "--insecure"), "--insecure, --qos: only for mqtt://"),
        (("sub", "a", "--user", "ada"), "--user: only for mqtt://"),
        (("pub", "mqtt://h/a", "1", "--password-file", "none"), "password_file none"),
        (("pub", "mqtts://h/a", "1", "--ca", "none"), "ca_file none"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: tuple[str, ...], problem: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, problem in result.stderr.replace("\n", " ")) == (2, True), result.stderr


def test_the_doctor_warns_of_what_a_bridge_gives_away(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "chappe.toml"
    config.write_text(
        '[mqtt_bridges.plain]\nurl = "mqtt://broker.example"\nusername = "ada"\npassword = "love-lace"\n'
        'topics = ["a in"]\n'
        '[mqtt_bridges.any]\nurl = "mqtts://broker.example"\ninsecure_any_certificate = true\ntopics = ["a in"]\n'
    )
    found = [
        each["found"] for each in json.loads(run("doctor", "--config", str(config), "--json").stdout)
        if each["check"] == "configuration" and each["state"] == "warning"
    ]  # fmt: skip
    assert any(text.startswith("mqtt_bridges.plain: the password goes over") for text in found)
    assert any("insecure_any_certificate" in text for text in found)
    shown = run("config", "show", "--config", str(config)).stdout
    assert "broker.example" in shown
    assert "love-lace" not in shown


def test_both_languages_name_the_same_things() -> None:
    for name, text in ENGLISH.items():
        if name.startswith(("mqtt_", "config_mqtt")):
            french = str(FRENCH[name])  # type: ignore[literal-required]
            assert text != french
            assert {word for word in ("{peer}", "{reason}", "{options}", "{name}") if word in str(text)} == {
                word for word in ("{peer}", "{reason}", "{options}", "{name}") if word in french
            }
