"""Well-formed settings that cannot work are found before the hub starts."""

from pathlib import Path
from typing import Any

import pytest

from chappe.config.checking import log_problems, problems
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
    assert names({"namespaces.news.subscribe": "user", "auth.jwks_url": "https://x/jwks"}) == ["pending"]


def test_a_secret_needs_its_algorithm(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s" * 43)
    flags = OPEN | {"auth.hmac_secret_file": str(secret)}
    assert names(flags) == ["unusable"]
    assert names(flags | {"auth.algorithms": "HS256"}) == []


def test_what_comes_with_a_later_release_is_told_but_not_what_dev_brings() -> None:
    settings: dict[str, Any] = {
        "poll.simple": True,
    }
    for name, value in settings.items():
        assert names(OPEN | {name: value}) == ["pending"], name
    assert names({"server.dev": True, "poll.hold_s": 1.0}) == ["pending"]


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
