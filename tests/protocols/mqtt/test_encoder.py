"""Packets become bytes: the vectors backwards, short forms, what 3.1.1 leaves out, what is too large."""

from typing import Any

import pytest

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt.encoder import encode, encode_farewell, encode_refusal, encode_within
from chappe.protocols.mqtt.packets import (
    AckProperties,
    Auth,
    AuthProperties,
    Connack,
    ConnackProperties,
    Connect,
    Disconnect,
    DisconnectProperties,
    Packet,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    PublishProperties,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeFilter,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from chappe.protocols.mqtt.reader import decode
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode
from tests.protocols.vectors import load

V3, V5 = Version.V3_1_1, Version.V5
#: Right packets that are written in another form: without padding, with a property length.
OTHER_FORMS = {"a padded remaining length in 3.1.1", "DISCONNECT with a code and no properties"}
BACKWARDS = [
    pytest.param(vector, id=vector["name"])
    for vector in load("mqtt.packets.json")
    if len(vector["packets"]) == 1 and vector["error"] is None and vector["name"] not in OTHER_FORMS
]


@pytest.mark.parametrize("vector", BACKWARDS)
def test_a_vector_is_written_as_it_came(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    version = {"3.1.1": V3, "5": V5, None: V5}[vector["version"]]
    packet = decode(data, version)
    version = packet.version if isinstance(packet, Connect) else version
    written = encode(packet, version)
    assert decode(written, version) == packet
    # Properties may stand in another order.
    assert sorted(written) == sorted(data)
    if "property" not in vector["name"] and "user_properties" not in str(vector["packets"]):
        assert written == data


@pytest.mark.parametrize(
    ("packet", "data"),
    [
        (Puback(1), "40020001"),
        (Puback(1, 0x10), "4003000110"),
        (Pubrec(1, 0x97, AckProperties(user_properties=(("k", "v"),))), "500b0001970726" + "00016b000176"),
        (Pubrel(1, 0, AckProperties("r")), "6208000100041f000172"),
        (Pubrel(1, 0x92), "6203000192"),
        (Pubcomp(1, 0, AckProperties()), "70020001"),
        (Disconnect(), "e000"),
        (Disconnect(0x8E), "e0028e00"),
        (Auth(), "f000"),
        (Pingresp(), "d000"),
        (Connack(), "2003000000"),
        (Connack(0, True), "2003010000"),
        (Suback(1, (0, 0x8F)), "9005000100008f"),
        (Unsuback(1, (0, 0x11)), "b00500010000" + "11"),
    ],
)
def test_short_forms_are_used_where_they_say_the_same(packet: Packet, data: str) -> None:
    assert encode(packet, V5).hex() == data


@pytest.mark.parametrize(
    ("packet", "data"),
    [
        (Puback(1, 0x97, AckProperties("r")), "40020001"),
        (Suback(1, (1, 0x8F, 0x80), AckProperties("r")), "900500010180" + "80"),
        (Unsuback(1, (0x11,)), "b0020001"),
        (Disconnect(0x8E, DisconnectProperties(reason_string="r")), "e000"),
        (Connack(0x87, properties=ConnackProperties(reason_string="r")), "20020005"),
        (Subscribe(1, (SubscribeFilter("a", 1, True, True, 2),)), "8206000100016101"),
        (Publish("a", b"", properties=PublishProperties(content_type="x")), "3003000161"),
    ],
)
def test_what_3_1_1_has_no_word_for_is_left_out(packet: Packet, data: str) -> None:
    assert encode(packet, V3).hex() == data


@pytest.mark.parametrize(
    ("packet", "version"),
    [
        (Auth(0x18, AuthProperties("m")), V3),
        (Auth(0x18), V5),
        (Connack(0x81), V3),
        (Connack(0x87, True), V5),
        (Connack(256), V5),
        (Connect("x", V3, password=b"p"), V3),
        (Connect("x", V5, keep_alive_s=65_536), V5),
        (Connect("x", V5, will=Will("t", b"", 3)), V5),
        (Connect("x", V5, will=Will("t/#", b"")), V5),
        (Connect("x", V5, will=Will("t", bytes(65_536))), V5),
        (Connect("\ud800", V5), V5),
        (Connect("x", V5, password=bytes(65_536)), V5),
        (Publish("a", b"", 1), V5),
        (Puback(0), V5),
        (Puback(1, 256), V5),
        (Pubrel(0, 0x92), V5),
        (Subscribe(1, ()), V5),
        (Subscribe(0, (SubscribeFilter("a"),)), V5),
        (Subscribe(1, (SubscribeFilter("a", 3),)), V3),
        (Subscribe(1, (SubscribeFilter("a", retain_handling=3),)), V5),
        (Subscribe(1, (SubscribeFilter("a#"),)), V5),
        (Subscribe(1, (SubscribeFilter("$share//a"),)), V5),
        (Suback(1, ()), V5),
        (Suback(65_536, (0,)), V3),
        (Unsubscribe(1, ()), V3),
        (Unsubscribe(1, ("",)), V3),
        (Unsuback(1), V5),
        (Disconnect(256), V5),
    ],
)
def test_what_cannot_be_said_is_refused(packet: Packet, version: Version) -> None:
    with pytest.raises(LocalProtocolError):
        encode(packet, version)


PAIR = (("k", "v" * 50),)
REASON = "r" * 60


@pytest.mark.parametrize(
    ("packet", "least"),
    [
        (Connack(0x87, properties=ConnackProperties(reason_string=REASON, user_properties=PAIR)), Connack(0x87)),
        (Puback(1, 0x87, AckProperties(REASON, PAIR)), Puback(1, 0x87)),
        (Suback(1, (0,), AckProperties(REASON, PAIR)), Suback(1, (0,))),
        (Disconnect(0x98, DisconnectProperties(None, REASON, PAIR)), Disconnect(0x98)),
        (Auth(0x18, AuthProperties("m", None, REASON, PAIR)), Auth(0x18, AuthProperties("m"))),
    ],
)
def test_mqtt_3_14_2_3_what_makes_a_packet_too_large_is_left_out(packet: Any, least: Packet) -> None:
    whole, bare = encode(packet, V5), encode(least, V5)
    assert encode_within(packet, V5, len(whole)) == whole
    without_reason = encode_within(packet, V5, len(whole) - 1)
    assert without_reason is not None
    left = decode(without_reason, V5)
    assert left.properties.reason_string is None  # type: ignore[union-attr]
    assert left.properties.user_properties == PAIR  # type: ignore[union-attr]
    assert encode_within(packet, V5, len(without_reason) - 1) == bare == encode_within(packet, V5, len(bare))
    assert encode_within(packet, V5, len(bare) - 1) is None


def test_a_packet_that_has_one_of_them_only_loses_that() -> None:
    only = Unsuback(1, (0,), AckProperties(user_properties=PAIR))
    assert encode_within(only, V5, 20) == encode(Unsuback(1, (0,)), V5)
    assert encode_within(Pingresp(), V5, 1) is None


def test_mqtt_3_1_2_25_a_message_keeps_its_user_properties_or_is_not_sent() -> None:
    message = Publish("a", b"x", properties=PublishProperties(user_properties=PAIR))
    size = len(encode(message, V5))
    assert encode_within(message, V5, size) == encode(message, V5)
    assert encode_within(message, V5, size - 1) is None


@pytest.mark.parametrize(
    ("code", "version", "data"),
    [
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, V3, "20020001"),
        (ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, V3, "20020002"),
        (ReasonCode.SERVER_BUSY, V3, "20020003"),
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, V3, "20020004"),
        (ReasonCode.BANNED, V3, "20020005"),
        (ReasonCode.MALFORMED_PACKET, V3, ""),
        (ReasonCode.PROTOCOL_ERROR, V3, ""),
        (ReasonCode.MALFORMED_PACKET, V5, "20080081051f00026e6f"),
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, V5, "20080084051f00026e6f"),
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, None, ""),
    ],
)
def test_mqtt_3_2_2_6_a_refusal_is_said_where_it_can_be(code: ReasonCode, version: Version | None, data: str) -> None:
    assert encode_refusal(MqttError(code, "no"), version).hex() == data


def test_a_farewell_is_said_in_5_only() -> None:
    error = MqttError(ReasonCode.PACKET_TOO_LARGE, "no")
    assert encode_farewell(error, V3) == b""
    assert encode_farewell(error, V5).hex() == "e00795051f00026e6f"
    long = encode_farewell(MqttError(ReasonCode.PROTOCOL_ERROR, "a\0" * 400), V5)
    packet = decode(long, V5)
    assert isinstance(packet, Disconnect)
    assert packet.properties.reason_string == "a" * 128
