"""Well-formed settings that cannot work are found before the hub starts."""

from pathlib import Path
from typing import Any

import pytest

from chappe.config.checking import _INSECURE, dangers, log_problems, problems
from chappe.config.fields import fields_of, sections
from chappe.config.loading import load


def names(flags: dict[str, Any]) -> list[str]:
    return [problem.name for problem in problems(load("/dev/null", {}, flags).settings)]


OPEN = {"namespaces.default.subscribe": "anonymous"}


def test_a_closed_hub_is_told() -> None:
    assert names({}) == ["closed"]


def test_an_open_hub_has_no_problem() -> None:
    assert names(OPEN) == []
    assert names({"server.dev": True}) == []


def test_tokens_without_a_key_are_told() -> None:
    assert names({"namespaces.news.subscribe": "user"}) == ["no_keys"]
    assert names({"namespaces.news.subscribe": "user", "auth.jwks_url": "https://x/jwks"}) == []
    assert names({"namespaces.news.subscribe": "user", "auth.webhook_url": "https://x/who"}) == []


def test_a_secret_needs_its_algorithm(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s" * 43)
    flags = OPEN | {"auth.hmac_secret_file": str(secret)}
    assert names(flags) == ["unusable"]
    assert names(flags | {"auth.algorithms": "HS256"}) == []


def test_each_problem_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log_problems(load("/dev/null", {}, {"server.cert": "a.pem"}).settings)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == [
        "nobody may subscribe or publish",
        "server.cert and server.key belong together",
    ]


def test_half_a_certificate_is_told() -> None:
    assert names(OPEN | {"server.cert": "a.pem"}) == ["half_tls"]


def test_files_that_are_missing_or_wrong_are_told(tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    junk = str(tmp_path / "junk")
    assert names(OPEN | {"server.cert": "/nowhere.pem", "server.key": junk}) == ["file_missing"]
    assert names(OPEN | {"server.cert": junk, "server.key": junk}) == ["unusable"]
    assert names(OPEN | {"api.keys_file": junk}) == ["unusable"]
    assert names(OPEN | {"api.keys_file": "/nowhere"}) == ["unusable"]


def test_a_namespace_with_a_slash_can_serve_no_channel() -> None:
    assert names(OPEN | {"namespaces.a/b.presence": True}) == ["namespace_slash"]


def test_workers_need_a_broker_that_they_share() -> None:
    assert names(OPEN | {"server.workers": 2}) == []
    assert names(OPEN | {"server.workers": 2, "broker.url": "sqlite://hub.db"}) == ["single_workers"]


def test_a_broker_that_is_not_there_is_told() -> None:
    assert names(OPEN | {"broker.url": "kafka://x"}) == ["unusable"]


def test_settings_that_change_nothing_yet_are_told() -> None:
    assert names(OPEN | {"server.preset": "high-load"}) == []
    assert names(OPEN | {"mqtt.port": 1884}) == []


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"auth.jwks_url": "http://keys.example/jwks"}, "unusable"),
        ({"auth.jwks_url": "http://keys.example/jwks", "auth.insecure_http": True}, None),
        ({"auth.jwks_url": "http://127.0.0.1:9/jwks"}, None),
        ({"auth.jwks_url": "https://ada:secret@keys.example/jwks"}, "unusable"),
        ({"auth.webhook_url": "ftp://x/"}, "unusable"),
        ({"auth.cookie_name": "session"}, "cookie_origins"),
        ({"auth.cookie_name": "session", "server.allowed_origins": "https://app.example"}, None),
        ({"server.client_ca": "ca.pem"}, "bare_ca"),
        ({"auth.certificate_user": "cn"}, "no_client_cert"),
        ({"auth.authorize_url": "http://10.0.0.1/may"}, "unusable"),
        ({"issuers.two.jwks_url": "https://x/jwks"}, "unusable"),
        ({"issuers.two.issuer": "https://x"}, "unusable"),
        ({"issuers.two.issuer": "https://x", "issuers.two.jwks_url": "https://x/jwks"}, None),
        ({"users.ada.password_hash": "hunter2"}, "unusable"),
    ],
)
def test_what_contradicts_itself_about_identities_is_told(flags: dict[str, Any], expected: str | None) -> None:
    found = names(OPEN | flags)
    assert [name for name in found if name != "pending"] == ([expected] if expected else [])


def test_what_opens_a_hub_to_strangers_is_a_danger_and_no_contradiction() -> None:
    def found(flags: dict[str, Any]) -> list[tuple[str, object]]:
        return [(each.name, each.parameters["setting"]) for each in dangers(load("/dev/null", {}, flags).settings)]

    everybody = OPEN | {"auth.anonymous": True, "server.host": "0.0.0.0"}
    assert found(everybody) == [("open_bind", "auth.anonymous")]
    assert found(everybody | {"server.host": "127.0.0.1"}) == []
    assert found({"api.insecure_open": True}) == [("insecure", "api.insecure_open")]
    assert found({"auth.insecure_http": True}) == [("insecure", "auth.insecure_http")]
    assert found({"api.insecure_open": True, "server.host": "::"})[1] == ("open_bind", "api.insecure_open")
    assert found({"server.dev": True}) == []


def test_every_insecure_setting_has_its_warning() -> None:
    named = {
        field.name
        for section, struct in sections().items()
        for field in fields_of(section, struct)
        if field.key.startswith("insecure_")
    }
    assert named == set(_INSECURE)
