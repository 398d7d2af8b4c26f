"""Settings of bridges to outside MQTT brokers: what they make, and what is wrong with them."""

import logging
from pathlib import Path

import pytest

from chappe.app import Hub
from chappe.config import Settings, load, make_bridges
from chappe.config.checking import log_problems, problems
from chappe.config.mqtt_bridges import mqtt_bridge_options
from chappe.config.settings import MqttBridgeSettings
from chappe.model.errors import ConfigurationError


def bridge(**settings: object) -> MqttBridgeSettings:
    return MqttBridgeSettings(**{"topics": ("a in",), **settings})  # type: ignore[arg-type]


def test_a_bridge_is_made_and_the_hub_knows_it() -> None:
    hub = Hub(dev=True, settings=Settings(mqtt_bridges={"home": bridge(url="mqtts://ada@h", password="x")}))
    (told,) = [each.status() for each in hub.core.bridges]
    assert (told.name, told.kind, told.peer, told.state) == ("home", "mqtt", "mqtts://h:8883", "stopped")
    core = Hub(dev=True).core
    assert len(make_bridges(Settings(mqtt_bridges={"a": bridge(), "b": bridge()}), core)) == len(core.bridges) == 2


def test_a_password_comes_from_a_file_or_a_variable_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    options = mqtt_bridge_options("home", bridge(username="ada", password_file=str(file)))
    assert options.address.password == "secret"
    environ = {"CHAPPE_MQTT_BRIDGES__HOME__PASSWORD": "secret", "CHAPPE_MQTT_BRIDGES__HOME__USERNAME": "ada"}
    settings = load("/dev/null", environ, {}).settings
    assert settings.mqtt_bridges["home"].password == "secret"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "http://h"}, "scheme"),
        ({"url": "mqtt://ada:secret@h"}, "password_file"),
        ({"url": "mqtt://h/topic"}, "topics belong into"),
        ({"topics": ()}, "it has no topics"),
        ({"topics": ("a in 7",)}, "no QoS"),
        ({"password": "x"}, "needs a username"),
        ({"username": "a", "password": "x", "password_file": "y"}, "expected one"),
        ({"username": "a", "password_file": "/nowhere"}, "password_file /nowhere"),
        ({"ca_file": "x"}, "certificates need TLS"),
        ({"insecure_any_certificate": True}, "certificates need TLS"),
        ({"url": "mqtts://h", "ca_file": "/nowhere"}, "ca_file /nowhere"),
    ],
)
def test_what_cannot_be_used_is_named(settings: dict[str, object], problem: str) -> None:
    given = Settings(mqtt_bridges={"home": bridge(**settings)})
    with pytest.raises(ConfigurationError, match=problem) as refused:
        make_bridges(given, Hub(dev=True).core)
    assert "mqtt_bridges.home: " in refused.value.reason
    assert "secret" not in refused.value.reason
    assert [each.name for each in problems(given) if each.name == "unusable"] == ["unusable"]


def test_a_pattern_out_of_a_namespace_that_nobody_reads_is_refused() -> None:
    hub = Hub().core
    with pytest.raises(ConfigurationError, match='subscribe = "nobody"'):
        make_bridges(Settings(mqtt_bridges={"home": bridge(topics=("a/# out",))}), hub)
    for line in ("a out", "# out", "a/# in"):
        make_bridges(Settings(mqtt_bridges={"home": bridge(topics=(line,))}), hub)


def test_weak_settings_are_said_loudly(caplog: pytest.LogCaptureFixture) -> None:
    bridges = {
        "plain": bridge(url="mqtt://broker.example", username="ada", password="x"),
        "any": bridge(url="mqtts://broker.example", insecure_any_certificate=True),
        "local": bridge(url="mqtt://localhost", username="ada", password="x"),
        "good": bridge(url="mqtts://broker.example", username="ada", password="x"),
    }
    settings = Settings(mqtt_bridges=bridges)
    found = [(each.name, each.parameters["name"]) for each in problems(settings) if each.name.startswith("mqtt")]
    assert found == [("mqtt_plain", "plain"), ("mqtt_insecure", "any")]
    caplog.set_level(logging.WARNING)
    log_problems(settings)
    assert "mqtt_bridges.plain: the password goes over the network as it is" in caplog.text
    assert "mqtt_bridges.any: insecure_any_certificate" in caplog.text
