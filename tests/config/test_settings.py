"""Settings are frozen, closed by default, and become what the hub takes."""

import datetime

import msgspec
import pytest

from chappe.config.settings import LimitSettings, NamespaceSettings, Settings
from chappe.hub.namespaces import Access, Level
from chappe.model.frame import SlowConsumer
from chappe.model.limits import Limits


def test_without_configuration_nobody_may_do_anything() -> None:
    namespaces = Settings().hub_namespaces()
    assert [(space.name, space.subscribe, space.publish) for space in namespaces] == [
        ("default", Access.NOBODY, Access.NOBODY)
    ]
    assert not Settings().auth.anonymous
    assert not Settings().api.insecure_open


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().server.port = 1  # type: ignore[misc]


def test_a_namespace_becomes_the_hubs_own() -> None:
    settings = NamespaceSettings(level="durable", subscribe="user", slow_consumer="latest", presence=True)
    namespace = settings.namespace("jobs")
    assert (namespace.name, namespace.level, namespace.subscribe) == ("jobs", Level.DURABLE, Access.USER)
    assert namespace.slow_consumer is SlowConsumer.LATEST
    assert namespace.presence


def test_limits_have_the_defaults_of_the_model() -> None:
    assert LimitSettings().limits() == Limits()
    assert LimitSettings(json_depth=3).limits().json_depth == 3


def test_an_unknown_member_is_refused_by_the_types_too() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"server": {"prot": 1}}, Settings)


def test_a_log_file_named_auto_gets_the_name_of_its_start() -> None:
    settings = msgspec.convert({"log": {"file": "auto", "level": "DEBUG"}}, Settings)
    options = settings.log.options(datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC))
    assert options.file == "websocket_20261122_120000.log"
    assert options.level == "DEBUG"
    assert Settings().log.options(datetime.datetime.now(datetime.UTC)).file is None
