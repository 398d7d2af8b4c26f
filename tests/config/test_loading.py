"""Defaults, file, environment, flags: each over the one before, and every value knows where it came from."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.config.errors import SettingError
from chappe.config.fields import fields_of, sections
from chappe.config.loading import FLAGS, load
from chappe.config.settings import Settings

EVERYTHING = """
[server]
host = "0.0.0.0"
port = 9000
allowed_origins = ["https://a.example"]
[auth]
algorithms = ["HS256"]
[users.ada]
password_hash = "scrypt$1"
[namespaces.chat]
level = "recoverable"
history_count = 1000
history_age_s = 86400
presence = true
subscribe = "user"
[namespaces.empty]
[limits]
message_bytes = 1024
"""


def write(folder: Path, text: str) -> str:
    path = folder / "hub.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_fills_the_settings(tmp_path: Path) -> None:
    path = write(tmp_path, EVERYTHING)
    loaded = load(path)
    assert loaded.settings.server.port == 9000
    assert loaded.settings.server.allowed_origins == ("https://a.example",)
    assert loaded.settings.users["ada"].password_hash == "scrypt$1"
    assert loaded.settings.namespaces["chat"].history_age_s == 86400.0
    assert loaded.settings.limits.message_bytes == 1024
    assert str(loaded.origin("server.port")) == path
    assert loaded.origin("server.workers").source == "default"


def test_an_empty_namespace_exists_and_so_does_default(tmp_path: Path) -> None:
    assert set(load(write(tmp_path, EVERYTHING)).settings.namespaces) == {"default", "chat", "empty"}


def test_environment_is_over_file_and_flag_over_environment(tmp_path: Path) -> None:
    path = write(tmp_path, EVERYTHING)
    environ = {"CHAPPE_SERVER__PORT": "9001", "CHAPPE_SERVER__HOST": "127.0.0.1"}
    loaded = load(path, environ, {"server.port": "9002", "server.workers": None})
    assert (loaded.settings.server.port, loaded.settings.server.host) == (9002, "127.0.0.1")
    assert [loaded.origin(f"server.{key}").source for key in ("port", "host", "workers")] == [
        "flag",
        "environment",
        "default",
    ]
    assert str(loaded.origin("server.port")) == "--port"


def test_chappe_toml_of_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load().settings == Settings()
    (tmp_path / "chappe.toml").write_text("[server]\nport = 1\n")
    assert load().settings.server.port == 1


def test_variables_are_read_as_people_write_them() -> None:
    environ = {
        "CHAPPE_SSE__DEFAULT_CHANNELS": "a, b",
        "CHAPPE_AUTH__ANONYMOUS": "on",
        "CHAPPE_POLL__SIMPLE": "1",
        "CHAPPE_POLL__HOLD_S": "2.5",
        "CHAPPE_NAMESPACES__CHAT__LEVEL": "durable",
        "CHAPPE_TOKEN": "not a setting",
        "HOME": "/",
    }
    settings = load("/dev/null", environ).settings
    assert settings.sse.default_channels == ("a", "b")
    assert settings.auth.anonymous
    assert settings.poll.simple
    assert settings.poll.hold_s == 2.5
    assert settings.namespaces["chat"].level == "durable"


@pytest.mark.parametrize(
    ("text", "problem", "told"),
    [
        ("[server]\nprot = 1", "unknown_key", "[server] prot is not a setting; did you mean port?"),
        ("[server]\nmessage_bytes = 1", "unknown_key", "did you mean limits.message_bytes?"),
        ("[srver]\nport = 1", "unknown_section", "[srver] is not a section; did you mean server?"),
        ("port = 1", "unknown_section", "[port] is not a section"),
        ("[namespaces]\nchat = 1", "unknown_section", "[namespaces.chat] is not a section"),
        ("namespaces = 1", "unknown_section", "did you mean namespaces.<name>?"),
        ('[server]\nport = "x"', "wrong_value", "[server] port = 'x', expected a whole number from 0 to 65535"),
        ("[server]\nport = true", "wrong_value", "expected a whole number"),
        ("[server]\nport = 65536", "wrong_value", "expected a whole number from 0 to 65535"),
        ("[server]\nhost = 1", "wrong_value", "expected text"),
        ("[auth]\nanonymous = 1", "wrong_value", "expected true or false"),
        ("[auth]\nalgorithms = 'HS256'", "wrong_value", "expected a list of texts"),
        ("[log]\nlevel = 'LOUD'", "wrong_value", 'expected one of "DEBUG"'),
        ("[limits]\njson_depth = 0", "wrong_value", "expected a whole number of at least 1"),
        ("[poll]\nhold_s = -1", "wrong_value", "expected a number of at least 0"),
        ("[server", "not_toml", "not a TOML file"),
        ("[server]\ndev = true", "dev_only_flag", "only --dev"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(tmp_path: Path, text: str, problem: str, told: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingError) as caught:
        load(path)
    assert caught.value.problem == problem
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.toml")


def test_a_secret_is_not_in_the_error_about_it(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        load(write(tmp_path, "[users.ada]\npassword_hash = 12345"))
    assert "12345" not in str(caught.value)


def test_every_flag_is_a_setting() -> None:
    known = {field.name for section, struct in sections().items() for field in fields_of(section, struct)}
    assert set(FLAGS) <= known


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)


@given(st.sampled_from(sorted(FLAGS)), VALUES)
def test_any_value_is_taken_or_refused_with_a_setting_error(name: str, value: Any) -> None:
    with contextlib.suppress(SettingError):
        assert isinstance(load("/dev/null", {}, {name: value}).settings, Settings)


def test_a_list_in_the_environment_may_be_written_as_in_the_file() -> None:
    # It was taken for one origin with brackets, which no browser has.
    variable = "CHAPPE_SERVER__ALLOWED_ORIGINS"
    both = ("https://a.example", "https://b.example")
    for text in ("https://a.example, https://b.example", '["https://a.example", "https://b.example"]'):
        assert load("/dev/null", {variable: text}).settings.server.allowed_origins == both
    with pytest.raises(SettingError, match="allowed_origins"):
        load("/dev/null", {variable: '["https://a.example'})
