"""CONNECT: what its flags ask for is all that is read, in order. The vectors have what is malformed."""

import pytest

from chappe.protocols.mqtt.connect import decode_connect
from chappe.protocols.mqtt.packets import Connect, Version, Will
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode

HEAD = b"\0\4MQTT"


def test_mqtt_3_1_3_1_the_payload_is_in_order() -> None:
    body = HEAD + b"\x04\xee\0\x3c" + b"\0\1c" + b"\0\1t" + b"\0\1p" + b"\0\1u" + b"\0\1w"
    will = Will("t", b"p", 1, True)
    assert decode_connect(body) == Connect("c", Version.V3_1_1, True, 60, will, "u", b"w")


def test_every_cut_of_a_connect_is_malformed() -> None:
    body = HEAD + b"\x05\xc6\0\x3c" + b"\3\x21\0\1" + b"\0\1c" + b"\2\1\1" + b"\0\1t" + b"\0\1p" + b"\0\1u" + b"\0\1w"
    assert decode_connect(body).will is not None
    for size in range(len(body)):
        with pytest.raises(MqttError) as caught:
            decode_connect(body[:size])
        assert caught.value.reason_code == ReasonCode.MALFORMED_PACKET
        assert caught.value.version == (Version.V5 if size > 6 else None)


@pytest.mark.parametrize(("name", "level"), [("MQIsdp", 3), ("MQIsdp", 4), ("MQTT", 3), ("MQTT", 0), ("MQTT", 0x83)])
def test_mqtt_3_1_2_2_older_versions_are_refused_in_the_words_of_3_1_1(name: str, level: int) -> None:
    with pytest.raises(MqttError) as caught:
        decode_connect(len(name).to_bytes(2) + name.encode() + bytes((level, 2, 0, 0, 0, 0)))
    assert caught.value.reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
    assert caught.value.version == Version.V3_1_1


def test_mqtt_3_1_3_8_a_session_needs_a_client_id_in_3_1_1_only() -> None:
    with pytest.raises(MqttError) as caught:
        decode_connect(HEAD + b"\x04\0\0\0\0\0")
    assert caught.value.reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    assert decode_connect(HEAD + b"\x05\0\0\0\0\0\0") == Connect("", Version.V5, False)
