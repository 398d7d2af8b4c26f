"""`chappe config` shows every setting with its origin, hides secrets, and checks."""

import json
from pathlib import Path

from .conftest import Run


def test_show_prints_every_setting_with_its_origin(run: Run) -> None:
    Path("chappe.toml").write_text("[server]\nport = 9000\n[namespaces.chat]\nroom = true\n")
    result = run("config", "show", env={"CHAPPE_SERVER__HOST": "127.0.0.2"})
    lines = {line.partition(" = ")[0]: line for line in result.stdout.splitlines()}
    assert lines["server.port"].split("  ")[0] == "server.port = 9000"
    assert lines["server.port"].endswith("# chappe.toml")
    assert lines["server.host"].endswith("# CHAPPE_SERVER__HOST")
    assert lines["server.workers"].endswith("# default")
    assert lines["namespaces.chat.room"].startswith("namespaces.chat.room = true")
    assert "limits.message_bytes" in lines


def test_changed_leaves_defaults_out(run: Run) -> None:
    assert run("config", "show", "--changed").stdout == ""
    result = run("config", "show", "--changed", env={"CHAPPE_SERVER__PORT": "9000"})
    assert result.stdout == "server.port = 9000  # CHAPPE_SERVER__PORT\n"


def test_secrets_are_hidden(run: Run) -> None:
    Path("chappe.toml").write_text('[users.ada]\npassword_hash = "s3cret"\n[broker]\nurl = "redis://u:s3cret@h"\n')
    for arguments in (("config", "show"), ("config", "show", "--json")):
        result = run(*arguments)
        assert "s3cret" not in result.stdout
        assert "users.ada.password_hash" in result.stdout
        assert "redis://[redacted]@h" in result.stdout


def test_json_has_value_and_origin_of_each(run: Run) -> None:
    rows = json.loads(run("config", "show", "--json", env={"CHAPPE_SERVER__PORT": "9000"}).stdout)
    assert {"name": "server.port", "value": 9000, "source": "environment", "from": "CHAPPE_SERVER__PORT"} in rows


def test_an_unknown_key_is_one_line_with_a_suggestion(run: Run) -> None:
    Path("hub.toml").write_text("[limits]\nmesage_bytes = 1\n")
    result = run("config", "check", "--config", "hub.toml")
    assert result.exit_code == 1
    assert result.stderr == ("Error: hub.toml: [limits] mesage_bytes is not a setting, did you mean message_bytes?\n")


def test_check_names_every_problem(run: Run) -> None:
    Path("chappe.toml").write_text('[server]\ncert = "x.pem"\n')
    result = run("config", "check")
    assert result.exit_code == 1
    assert "server.cert and server.key belong together" in result.stdout
    assert "chappe serve --dev" in result.stdout
    assert result.stderr.startswith("Error: 2 problem(s) found")
    assert len(json.loads(run("config", "check", "--json").stdout)["problems"]) == 2


def test_a_good_configuration_is_called_good(run: Run) -> None:
    Path("chappe.toml").write_text('[auth]\nanonymous = true\n[namespaces.default]\nsubscribe = "anonymous"\n')
    result = run("config", "check")
    assert (result.exit_code, result.stdout) == (0, "the configuration is good\n")
