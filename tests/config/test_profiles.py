"""Presets are defaults; `--dev` opens a hub, and only on this machine."""

import pytest

from chappe.config.errors import SettingError
from chappe.config.loading import load
from chappe.config.profiles import is_loopback

DEV = {"server.dev": True}


def test_strict_lowers_limits_and_says_so() -> None:
    loaded = load("/dev/null", {"CHAPPE_SERVER__PRESET": "strict"})
    limits = loaded.settings.limits
    assert (limits.connections_per_address, limits.message_bytes, limits.send_queue_messages) == (5, 10_240, 1_000)
    assert str(loaded.origin("limits.message_bytes")) == "preset strict"


def test_high_load_gathers_messages_for_50_ms() -> None:
    assert load("/dev/null", {}, {"server.preset": "high-load"}).settings.server.batch_window_ms == 50


def test_what_somebody_set_is_over_the_preset() -> None:
    loaded = load("/dev/null", {"CHAPPE_LIMITS__MESSAGE_BYTES": "99"}, {"server.preset": "strict"})
    assert loaded.settings.limits.message_bytes == 99


def test_dev_lets_anonymous_do_everything_with_history_presence_and_patterns() -> None:
    settings = load("/dev/null", {}, DEV).settings
    for name in ("default", "chat"):
        space = settings.namespaces[name]
        assert (space.level, space.history_count, space.history_age_s) == ("recoverable", 100, 600.0)
        assert (space.subscribe, space.publish, space.presence, space.patterns) == (
            "anonymous",
            "anonymous",
            True,
            True,
        )
        assert space.room == (name == "chat")
    assert settings.auth.anonymous
    assert settings.api.insecure_open
    assert settings.poll.simple
    assert settings.sse.default_channels == ("chat/lobby",)
    assert settings.limits.messages_per_s == 0
    assert settings.server.allowed_hosts == ("localhost", "127.0.0.1", "[::1]")


def test_dev_opens_the_namespaces_of_the_file_too_and_keeps_their_history() -> None:
    environ = {"CHAPPE_NAMESPACES__JOBS__SUBSCRIBE": "nobody", "CHAPPE_NAMESPACES__CHAT__HISTORY_COUNT": "7"}
    loaded = load("/dev/null", environ, DEV)
    assert loaded.settings.namespaces["jobs"].subscribe == "anonymous"
    assert loaded.settings.namespaces["chat"].history_count == 7
    assert str(loaded.origin("namespaces.jobs.subscribe")) == "--dev"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_dev_refuses_addresses_that_others_could_reach(host: str) -> None:
    with pytest.raises(SettingError) as caught:
        load("/dev/null", {}, DEV | {"server.host": host})
    assert caught.value.problem == "dev_loopback"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)


def test_only_the_command_line_can_say_dev() -> None:
    with pytest.raises(SettingError) as caught:
        load("/dev/null", {"CHAPPE_SERVER__DEV": "true"})
    assert caught.value.problem == "dev_only_flag"
