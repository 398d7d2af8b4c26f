"""Our codec and the one of the `mqtt5` library (Rust, MQTT 5 only) make the same of the same packets.

What the library refuses is refused by us, but for what is listed; the other way round it is laxer (topics, U+0000).
"""

from collections.abc import Sequence
from typing import Any, Final

import mqtt5
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import Connect, Packet, Version
from chappe.protocols.mqtt.reader import decode
from chappe.protocols.mqtt.reason_codes import MqttError
from tests.protocols.mqtt.values import client_packets, connects, server_packets
from tests.protocols.vectors import load

V5: Final = Version.V5
#: What it leaves out when it writes: the property says what its absence would say.
DEFAULTS: Final = {
    "receive_maximum": 65_535,
    "topic_alias_maximum": 0,
    "payload_format": 0,
    "will_delay_s": 0,
    "request_problem_information": True,
    "request_response_information": False,
    "retain_available": True,
    "wildcard_subscription_available": True,
    "subscription_identifier_available": True,
    "shared_subscription_available": True,
}
#: What it refuses and MQTT 5 allows: the short form of AUTH, and DISCONNECT with 0x8C (bad authentication method).
STRICTER: Final = ("Missing property length", "Invalid DisconnectReasonCode value: 140")
SEEDS: Final = [bytes.fromhex(vector["hex"]) for vector in load("mqtt.packets.json") if vector["version"] != "3.1.1"]


def read(data: bytes) -> tuple[Any, int] | str:
    """Return a packet and its size as the library reads it, or why it does not; it panics on some bytes."""
    try:
        return mqtt5.read(memoryview(data))
    except (KeyboardInterrupt, pytest.fail.Exception):
        raise
    except BaseException as error:
        return str(error)


def plain(value: Any) -> Any:
    """Return a struct without the properties that the library leaves out."""
    if not isinstance(value, msgspec.Struct):
        return value
    changes: dict[str, Any] = {}
    for field in msgspec.structs.fields(value):
        held = getattr(value, field.name)
        left_out = DEFAULTS.get(field.name) == held and field.name in DEFAULTS
        left_out |= field.name == "session_expiry_s" and held == 0 and hasattr(value, "request_problem_information")
        changes[field.name] = None if left_out else plain(held)
    return msgspec.structs.replace(value, **changes)


@given(
    st.one_of(client_packets(V5), server_packets(V5), connects().filter(lambda packet: packet.version is V5)),
)
def test_what_we_write_the_library_reads_and_what_it_writes_we_read(packet: Packet) -> None:
    data = encode(packet, V5)
    result = read(data)
    if isinstance(result, str):
        assert result in STRICTER
        return
    theirs, size = result
    assert size == len(data)
    assert decode(theirs.write(), V5) == plain(packet)


def changed(data: bytes, changes: Sequence[tuple[int, int]]) -> bytes:
    out = bytearray(data)
    for place, value in changes:
        if place < len(out):
            out[place] = value
    return bytes(out)


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3))
def test_what_the_library_refuses_we_refuse(seed: bytes, changes: list[tuple[int, int]]) -> None:
    data = changed(seed, changes)
    try:
        packet = decode(data, V5)
    except MqttError:
        return
    if isinstance(packet, Connect) and packet.version is not V5:
        return
    result = read(data)
    if isinstance(result, str):
        assert result in STRICTER
