"""Reason codes: every one in the packets that may carry it, and what of them 3.1.1 can say."""

from chappe.model.errors import RemoteProtocolError
from chappe.protocols.mqtt.packets import PacketType
from chappe.protocols.mqtt.reason_codes import (
    CODES_OF_PACKET,
    MEANINGS,
    RETURN_CODES,
    MqttError,
    ReasonCode,
    ReturnCode,
)

#: Table 2-6 of MQTT 5: the packets of each code.
ACK, RECEIVED = "CONNACK", "PUBACK PUBREC"
TABLE = {
    0x00: "CONNACK PUBACK PUBREC PUBREL PUBCOMP UNSUBACK AUTH DISCONNECT SUBACK",
    0x01: "SUBACK",
    0x02: "SUBACK",
    0x04: "DISCONNECT",
    0x10: RECEIVED,
    0x11: "UNSUBACK",
    0x18: "AUTH",
    0x19: "AUTH",
    0x80: "CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT",
    0x81: "CONNACK DISCONNECT",
    0x82: "CONNACK DISCONNECT",
    0x83: "CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT",
    0x84: ACK,
    0x85: ACK,
    0x86: ACK,
    0x87: "CONNACK PUBACK PUBREC SUBACK UNSUBACK DISCONNECT",
    0x88: ACK,
    0x89: "CONNACK DISCONNECT",
    0x8A: ACK,
    0x8B: "DISCONNECT",
    0x8C: "CONNACK DISCONNECT",
    0x8D: "DISCONNECT",
    0x8E: "DISCONNECT",
    0x8F: "SUBACK UNSUBACK DISCONNECT",
    0x90: "CONNACK PUBACK PUBREC DISCONNECT",
    0x91: "PUBACK PUBREC SUBACK UNSUBACK",
    0x92: "PUBREL PUBCOMP",
    0x93: "DISCONNECT",
    0x94: "DISCONNECT",
    0x95: "CONNACK DISCONNECT",
    0x96: "DISCONNECT",
    0x97: "CONNACK PUBACK PUBREC SUBACK DISCONNECT",
    0x98: "DISCONNECT",
    0x99: "CONNACK PUBACK PUBREC DISCONNECT",
    0x9A: "CONNACK DISCONNECT",
    0x9B: "CONNACK DISCONNECT",
    0x9C: "CONNACK DISCONNECT",
    0x9D: "CONNACK DISCONNECT",
    0x9E: "SUBACK DISCONNECT",
    0x9F: "CONNACK DISCONNECT",
    0xA0: "DISCONNECT",
    0xA1: "SUBACK DISCONNECT",
    0xA2: "SUBACK DISCONNECT",
}


def test_every_code_stands_in_the_packets_of_the_table() -> None:
    expected = {
        int(PacketType[name]): {code for code, names in TABLE.items() if name in names.split()}
        for name in " ".join(TABLE.values()).split()
    }
    assert {packet_type: set(codes) for packet_type, codes in CODES_OF_PACKET.items()} == expected
    assert set(TABLE) == set(ReasonCode)


def test_mqtt_3_2_2_5_every_return_code_has_a_meaning_and_comes_back() -> None:
    assert set(MEANINGS) == set(ReturnCode)
    assert {code: RETURN_CODES[meaning] for code, meaning in MEANINGS.items()} == {code: code for code in ReturnCode}


def test_only_codes_that_a_connack_can_say_have_a_return_code() -> None:
    assert set(RETURN_CODES) <= CODES_OF_PACKET[PacketType.CONNACK]


def test_an_error_carries_what_to_answer() -> None:
    error = MqttError(ReasonCode.QUOTA_EXCEEDED, "too much")
    assert isinstance(error, RemoteProtocolError)
    assert (error.close_code, error.reason_code, error.reason, error.version) == (0x97, 0x97, "too much", None)
