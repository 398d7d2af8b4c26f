"""Which first bytes may stand where: the tables of 2.1.2 and 2.1.3, written out."""

import pytest

from chappe.protocols.mqtt.headers import endless_length, first_byte_error, first_bytes, padded_length, too_large
from chappe.protocols.mqtt.packets import Version
from chappe.protocols.mqtt.reason_codes import ReasonCode
from tests.protocols.mqtt.codecs import VERSIONS

PUBLISHES = {0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3A, 0x3B, 0x3C, 0x3D}
BOTH = {0x40, 0x50, 0x62, 0x70, *PUBLISHES}
CLIENT = {0x82, 0xA2, 0xC0, 0xE0, *BOTH}
SERVER = {0x20, 0x90, 0xB0, 0xD0, *BOTH}


def allowed(version: Version | None, from_client: bool | None) -> set[int]:
    return {first for first, right in enumerate(first_bytes(version, from_client)) if right}


def test_mqtt_3_1_0_1_a_client_begins_with_connect() -> None:
    assert allowed(None, True) == {0x10}


def test_mqtt_2_1_3_1_flags_are_as_the_table_says() -> None:
    assert allowed(Version.V3_1_1, True) == CLIENT
    assert allowed(Version.V5, True) == CLIENT | {0xF0}
    assert allowed(Version.V3_1_1, False) == SERVER
    assert allowed(Version.V5, False) == SERVER | {0xE0, 0xF0}
    assert allowed(Version.V3_1_1, None) == CLIENT | SERVER | {0x10}
    assert allowed(Version.V5, None) == CLIENT | SERVER | {0x10, 0xF0}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("first", [*range(16), 0x11, 0x36, 0x37, 0x38, 0x39, 0x3E, 0x41, 0x60, 0x80, 0xA0, 0xC1, 0xE8])
def test_a_wrong_first_byte_is_malformed(first: int, version: Version) -> None:
    error = first_byte_error(first, version, True)
    assert error is not None
    assert error.reason_code == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("first", "version", "from_client", "reason"),
    [
        (0x30, None, True, "PUBLISH before CONNECT"),
        (0x10, Version.V5, True, "a second CONNECT"),
        (0x20, Version.V5, True, "CONNACK of the wrong side"),
        (0x82, Version.V5, False, "SUBSCRIBE of the wrong side"),
        (0xE0, Version.V3_1_1, False, "DISCONNECT of the wrong side"),
    ],
)
def test_a_packet_out_of_its_place_is_a_protocol_error(
    first: int, version: Version | None, from_client: bool, reason: str
) -> None:
    error = first_byte_error(first, version, from_client)
    assert error is not None
    assert (error.reason_code, error.reason) == (ReasonCode.PROTOCOL_ERROR, reason)


def test_the_errors_of_a_length_have_their_codes() -> None:
    assert endless_length().reason_code == ReasonCode.MALFORMED_PACKET
    assert padded_length().reason_code == ReasonCode.MALFORMED_PACKET
    assert too_large(10, 9).reason_code == ReasonCode.PACKET_TOO_LARGE
