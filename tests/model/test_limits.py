"""Limits have the defaults that the interfaces promise."""

import inspect

import msgspec
import pytest

from chappe.model.limits import Limits


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("message_bytes", 64 * 1024),
        ("frame_bytes", 1024 * 1024),
        ("message_fragments", 64),
        ("send_queue_bytes", 1024 * 1024),
        ("connections_per_address", 100),
        ("channels_per_client", 128),
        ("messages_per_s", 50),
        ("messages_burst", 200),
        ("channel_bytes", 255),
        ("json_depth", 32),
        ("json_keys", 1_000),
        ("presence_members", 200),
        ("handshake_timeout_s", 10),
        ("ping_interval_s", 25),
        ("pong_timeout_s", 10),
        ("idle_timeout_s", 300),
        ("background_idle_s", 600),
        ("name_probe_s", 2),
    ],
)
def test_defaults_are_those_of_the_interfaces(name: str, value: float) -> None:
    assert getattr(Limits(), name) == value


@pytest.mark.parametrize("field", Limits.__struct_fields__)
def test_every_limit_is_explained(field: str) -> None:
    assert f"\n    {field}: " in inspect.getdoc(Limits).replace("\n        ", "\n    ")  # type: ignore[union-attr]


def test_a_message_fits_its_frame_and_a_frame_its_queue() -> None:
    limits = Limits()
    assert limits.message_bytes < limits.frame_bytes <= limits.send_queue_bytes


def test_limits_cannot_be_changed_while_they_are_used() -> None:
    with pytest.raises(AttributeError):
        Limits().message_bytes = 1  # type: ignore[misc]
    assert msgspec.structs.replace(Limits(), message_bytes=1).message_bytes == 1
