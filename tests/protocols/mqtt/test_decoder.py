"""Bodies become packets; every prefix of a right one is refused with an error and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.protocols.mqtt.codec_pure import read_length
from chappe.protocols.mqtt.decoder import decode_body
from chappe.protocols.mqtt.headers import first_bytes
from chappe.protocols.mqtt.packets import AckProperties, Disconnect, DisconnectProperties, Puback, Publish, Version
from chappe.protocols.mqtt.reason_codes import MqttError
from tests.protocols.mqtt.codecs import VERSIONS
from tests.protocols.vectors import load

ALONE = [
    pytest.param(bytes.fromhex(vector["hex"]), vector, id=vector["name"])
    for vector in load("mqtt.packets.json")
    if len(vector["packets"]) == 1 and vector["error"] is None and vector["version"] is not None
]
FIRST = [first for first, right in enumerate(first_bytes(Version.V5, None)) if right and first != 0x10]


def code_of(first: int, body: bytes, version: Version, from_client: bool | None = None) -> int:
    """Return the code of the error that a body makes; 0: it makes none."""
    try:
        decode_body(first, body, version, from_client)
    except MqttError as error:
        return error.reason_code
    return 0


@pytest.mark.parametrize(("data", "vector"), ALONE)
def test_a_prefix_of_a_packet_is_an_error_or_a_shorter_packet(data: bytes, vector: dict[str, str]) -> None:
    version = Version.V5 if vector["version"] == "5" else Version.V3_1_1
    start, _ = read_length(data, 1)
    for end in range(start, len(data)):
        assert code_of(data[0], data[start:end], version) in (0, 0x81, 0x82)


@given(st.sampled_from(FIRST), st.binary(max_size=80), st.sampled_from(VERSIONS), st.sampled_from([True, False, None]))
def test_any_body_is_a_packet_or_an_error(first: int, body: bytes, version: Version, from_client: bool | None) -> None:
    if first == 0xF0 and version is Version.V3_1_1:
        return
    assert code_of(first, body, version, from_client) in (0, 0x81, 0x82, 0x94)


def test_mqtt_3_3_4_6_only_servers_send_subscription_identifiers() -> None:
    body = b"\0\1a" + b"\2\x0b\1"
    for from_client in (None, False):
        packet = decode_body(0x30, body, Version.V5, from_client)
        assert isinstance(packet, Publish)
        assert packet.properties.subscription_ids == (1,)
    with pytest.raises(MqttError, match="subscription identifier"):
        decode_body(0x30, body, Version.V5, True)


def test_mqtt_3_14_2_2_only_clients_send_a_session_expiry() -> None:
    body = b"\0\5\x11\0\0\0\1"
    for from_client in (None, True):
        assert decode_body(0xE0, body, Version.V5, from_client) == Disconnect(0, DisconnectProperties(1))
    with pytest.raises(MqttError, match="session expiry"):
        decode_body(0xE0, body, Version.V5, False)


def test_an_acknowledgement_has_three_lengths() -> None:
    assert decode_body(0x40, b"\0\1", Version.V5) == Puback(1)
    assert decode_body(0x40, b"\0\1\x10", Version.V5) == Puback(1, 0x10)
    assert decode_body(0x40, b"\0\1\x10\0", Version.V5) == Puback(1, 0x10)
    assert decode_body(0x40, b"\0\1\0\4\x1f\0\1x", Version.V5) == Puback(1, 0, AckProperties("x"))
