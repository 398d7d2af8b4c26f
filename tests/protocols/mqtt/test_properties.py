"""The properties of MQTT 5: which packet carries which, how often, and in which range."""

from typing import Any

import msgspec
import pytest

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.fields import FieldReader, variable
from chappe.protocols.mqtt.packets import NO_PROPERTIES, PublishProperties
from chappe.protocols.mqtt.properties import PROPERTIES, decode_properties, encode_properties, properties_of
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode

#: Table 2-4 of MQTT 5: identifier, a value that is right, and who carries it.
ACKS = ("Ack",)
TABLE: dict[int, tuple[str, tuple[str, ...]]] = {
    0x01: ("01", ("Publish", "Will")),
    0x02: ("0000003c", ("Publish", "Will")),
    0x03: ("000174", ("Publish", "Will")),
    0x08: ("000172", ("Publish", "Will")),
    0x09: ("0001ff", ("Publish", "Will")),
    0x0B: ("01", ("Publish", "Subscribe")),
    0x11: ("00000001", ("Connect", "Connack", "Disconnect")),
    0x12: ("000161", ("Connack",)),
    0x13: ("001e", ("Connack",)),
    0x15: ("00016d", ("Connect", "Connack", "Auth")),
    0x16: ("000164", ("Connect", "Connack", "Auth")),
    0x17: ("00", ("Connect",)),
    0x18: ("00000005", ("Will",)),
    0x19: ("01", ("Connect",)),
    0x1A: ("000169", ("Connack",)),
    0x1C: ("000173", ("Connack", "Disconnect")),
    0x1F: ("000172", ("Connack", *ACKS, "Disconnect", "Auth")),
    0x21: ("0001", ("Connect", "Connack")),
    0x22: ("0000", ("Connect", "Connack")),
    0x23: ("0001", ("Publish",)),
    0x24: ("01", ("Connack",)),
    0x25: ("00", ("Connack",)),
    0x26: (
        "00016b000176",
        ("Connect", "Connack", "Publish", "Will", *ACKS, "Subscribe", "Unsubscribe", "Disconnect", "Auth"),
    ),
    0x27: ("00000001", ("Connect", "Connack")),
    0x28: ("00", ("Connack",)),
    0x29: ("01", ("Connack",)),
    0x2A: ("01", ("Connack",)),
}
KINDS: dict[str, type[msgspec.Struct]] = {kind.__name__.removesuffix("Properties"): kind for kind in NO_PROPERTIES}


def decode(kind: type[msgspec.Struct], data: str) -> Any:
    body = bytes.fromhex(data)
    return decode_properties(FieldReader(variable(len(body)) + body), kind)


def code_of(kind: type[msgspec.Struct], data: str) -> int:
    with pytest.raises(MqttError) as caught:
        decode(kind, data)
    return caught.value.reason_code


def test_every_property_of_the_table_is_known_and_no_other() -> None:
    assert {each.identifier for each in PROPERTIES} == set(TABLE)
    assert {name for _, names in TABLE.values() for name in names} == set(KINDS)


@pytest.mark.parametrize("identifier", TABLE)
@pytest.mark.parametrize("name", KINDS)
def test_mqtt_2_2_2_2_a_property_stands_only_where_the_table_says(name: str, identifier: int) -> None:
    value, carriers = TABLE[identifier]
    data = f"{identifier:02x}{value}"
    if name in carriers:
        properties = decode(KINDS[name], data)
        assert properties != NO_PROPERTIES[KINDS[name]]
        assert encode_properties(properties).hex() == f"{len(data) // 2:02x}{data}"
    else:
        assert code_of(KINDS[name], data) == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("identifier", [each for each in TABLE if each != 0x26])
def test_any_property_but_user_properties_comes_once(identifier: int) -> None:
    value, carriers = TABLE[identifier]
    for name in carriers:
        if (name, identifier) != ("Publish", 0x0B):
            assert code_of(KINDS[name], f"{identifier:02x}{value}" * 2) == ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize("identifier", TABLE)
def test_a_property_that_is_cut_is_malformed(identifier: int) -> None:
    value, carriers = TABLE[identifier]
    for size in range(0, len(value), 2):
        assert code_of(KINDS[carriers[0]], f"{identifier:02x}{value[:size]}") == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("Publish", "0102", 0x82),
        ("Will", "01ff", 0x82),
        ("Connect", "1702", 0x82),
        ("Connect", "1902", 0x82),
        ("Connack", "2402", 0x82),
        ("Connack", "2502", 0x82),
        ("Connack", "2802", 0x82),
        ("Connack", "2902", 0x82),
        ("Connack", "2a02", 0x82),
        ("Connect", "210000", 0x82),
        ("Connack", "2700000000", 0x82),
        ("Subscribe", "0b00", 0x82),
        ("Publish", "0b00", 0x82),
        ("Publish", "230000", 0x94),
        ("Publish", "080000", 0x81),
        ("Will", "0800012b", 0x81),
        ("Publish", "0b8000", 0x81),
        ("Publish", "0bffffffff01", 0x81),
        ("Publish", "81010000", 0x81),
        ("Publish", "80", 0x81),
        ("Ack", "1f0001ff", 0x81),
        ("Ack", "2600010000", 0x81),
    ],
)
def test_a_value_out_of_its_range_is_refused(name: str, data: str, code: int) -> None:
    assert code_of(KINDS[name], data) == code


def test_mqtt_3_3_2_18_user_properties_keep_their_order() -> None:
    pairs = (("b", "1"), ("a", "2"), ("b", "1"), ("", ""))
    properties = PublishProperties(user_properties=pairs)
    assert decode_properties(FieldReader(encode_properties(properties)), PublishProperties).user_properties == pairs


def test_a_length_beyond_the_packet_is_malformed() -> None:
    with pytest.raises(MqttError, match="properties: 2 bytes are left, expected 3"):
        decode_properties(FieldReader(b"\x03\x01\x00"), PublishProperties)


def test_no_properties_are_one_object() -> None:
    for kind, empty in NO_PROPERTIES.items():
        assert decode(kind, "") is empty
        assert encode_properties(empty) == encode_properties(kind()) == b"\0"


def test_every_struct_of_properties_is_listed() -> None:
    structs = {each for name, each in vars(packets).items() if name.endswith("Properties") and isinstance(each, type)}
    assert structs == set(NO_PROPERTIES)
    for kind in structs:
        assert [each.name for each in properties_of(kind)] == [each.name for each in msgspec.structs.fields(kind)]


@pytest.mark.parametrize(
    "properties",
    [
        packets.ConnectProperties(receive_maximum=0),
        packets.ConnectProperties(session_expiry_s=1 << 32),
        packets.ConnackProperties(maximum_qos=2),
        packets.ConnackProperties(server_keep_alive_s=65_536),
        packets.SubscribeProperties(subscription_id=268_435_456),
        packets.AckProperties(reason_string="\0"),
        packets.AuthProperties(authentication_data=bytes(65_536)),
    ],
)
def test_a_value_out_of_its_range_is_not_written(properties: msgspec.Struct) -> None:
    with pytest.raises(LocalProtocolError):
        encode_properties(properties)
