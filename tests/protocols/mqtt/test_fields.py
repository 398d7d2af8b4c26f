"""The data types of MQTT, each at the edges of its range."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt import fields
from chappe.protocols.mqtt.fields import FieldReader, malformed, protocol_error
from chappe.protocols.mqtt.packets import MAX_VARIABLE_INTEGER
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode

#: The edges of the table in MQTT 5, 1.5.5.
NUMBERS = {
    0: "00",
    127: "7f",
    128: "8001",
    16_383: "ff7f",
    16_384: "808001",
    2_097_151: "ffff7f",
    2_097_152: "80808001",
    268_435_455: "ffffff7f",
}


@pytest.mark.parametrize("value", NUMBERS)
def test_mqtt_1_5_5_1_a_variable_byte_integer_has_its_shortest_form(value: int) -> None:
    data = bytes.fromhex(NUMBERS[value])
    assert fields.variable(value) == data
    reader = FieldReader(data)
    assert reader.variable("n") == value
    assert reader.left == 0


@pytest.mark.parametrize("data", ["8000", "ff00", "80808000", "ffffffff01", "80", "ffffff", ""])
def test_mqtt_1_5_5_1_any_other_form_is_malformed(data: str) -> None:
    with pytest.raises(MqttError) as caught:
        FieldReader(bytes.fromhex(data)).variable("n")
    assert caught.value.reason_code == ReasonCode.MALFORMED_PACKET


@given(st.integers(0, MAX_VARIABLE_INTEGER))
def test_a_variable_byte_integer_comes_back(value: int) -> None:
    assert FieldReader(fields.variable(value)).variable("n") == value


@pytest.mark.parametrize(
    "data", [b"a\0b", b"\0", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xc0\x80", b"\xff", b"\xc3", b"\xf4\x90\x80\x80"]
)
def test_mqtt_1_5_4_1_text_is_well_formed(data: bytes) -> None:
    with pytest.raises(MqttError, match="name: text"):
        FieldReader(len(data).to_bytes(2) + data).text("name")


@pytest.mark.parametrize(
    "text", ["", "\ufeff", "a\ufeffb", "\x01\x7f\x85", "\ufffe\uffff", "\U0010ffff", "e\u0301", "é"]
)
def test_mqtt_1_5_4_3_text_is_kept_as_it_is(text: str) -> None:
    assert FieldReader(fields.text(text)).text("name") == text


def test_text_may_have_65_535_bytes() -> None:
    text = "é" * 32_767 + "x"
    assert FieldReader(fields.text(text)).text("name") == text
    with pytest.raises(LocalProtocolError, match="65536 bytes"):
        fields.text(text + "x")


@pytest.mark.parametrize("text", ["\ud800", "a\0"])
def test_text_that_is_none_is_not_written(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        fields.text(text)


@pytest.mark.parametrize(
    ("write", "most"), [(fields.byte, 255), (fields.two_bytes, 65_535), (fields.four_bytes, 0xFFFF_FFFF)]
)
def test_a_number_is_written_within_its_range(write: Callable[[int], bytes], most: int) -> None:
    assert write(most) == most.to_bytes((most.bit_length() + 7) // 8)
    for wrong in (-1, most + 1):
        with pytest.raises(LocalProtocolError, match=f"expected 0 to {most}"):
            write(wrong)


def test_a_variable_byte_integer_is_written_within_its_range() -> None:
    for wrong in (-1, MAX_VARIABLE_INTEGER + 1):
        with pytest.raises(LocalProtocolError, match="expected 0 to 268435455"):
            fields.variable(wrong)


def test_a_packet_id_is_never_0() -> None:
    assert fields.packet_id(1) + fields.packet_id(65_535) == b"\0\1\xff\xff"
    for wrong in (0, -1, 65_536):
        with pytest.raises(LocalProtocolError, match="is no packet id"):
            fields.packet_id(wrong)


def test_fields_are_read_one_after_the_other() -> None:
    reader = FieldReader(b"\x01\x00\x02\x00\x00\x00\x03\x00\x01xrest")
    assert (reader.byte("a"), reader.two_bytes("b"), reader.four_bytes("c"), reader.binary("d")) == (1, 2, 3, b"x")
    part = reader.part(2, "e")
    assert (part.left, part.rest(), part.left) == (2, b"re", 0)
    part.finish()
    with pytest.raises(MqttError, match="2 bytes behind the end"):
        reader.finish()
    assert reader.rest() == b"st"


@pytest.mark.parametrize(
    "read",
    [FieldReader.byte, FieldReader.two_bytes, FieldReader.four_bytes, FieldReader.binary, FieldReader.text],
)
def test_a_field_that_ends_too_early_is_named(read: Callable[[FieldReader, str], object]) -> None:
    with pytest.raises(MqttError, match=r"keep alive: 0 bytes are left, expected \d") as caught:
        read(FieldReader(b""), "keep alive")
    assert caught.value.reason_code == ReasonCode.MALFORMED_PACKET


def test_a_length_beyond_the_end_is_malformed() -> None:
    with pytest.raises(MqttError, match="data: 2 bytes are left, expected 3"):
        FieldReader(b"\0\3ab").binary("data")
    with pytest.raises(MqttError, match="part: 1 bytes are left, expected 2"):
        FieldReader(b"abc", 1, 2).part(2, "part")


def test_the_two_kinds_of_errors_have_their_codes() -> None:
    assert malformed("a").reason_code == 0x81
    assert protocol_error("b").reason_code == 0x82
