from __future__ import annotations

import pytest

from chappe.hub.contracts import Claims
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Connect, ConnectProperties, Will
from chappe.protocols.mqtt.reason_codes import ReasonCode
from tests.hub.harness import Tokens
from tests.hub.mqtt.rig import V3, V5, Box


@pytest.fixture
def box() -> Box:
    return Box()


def test_mqtt_3_2_2_limits_are_announced(box: Box) -> None:
    told = box.connack(box.device("a")).properties
    assert told.receive_maximum == 20
    assert told.topic_alias_maximum == 10
    assert told.maximum_packet_bytes == box.limits.message_bytes + 16_384
    assert told.session_expiry_s is None
    assert told.assigned_client_id is None


@pytest.mark.parametrize(("asked", "told"), [(0, 60), (30, None), (60, None), (120, 60)])
def test_mqtt_3_2_2_a_longer_keep_alive_is_overruled(box: Box, asked: int, told: int | None) -> None:
    device = box.device("a", keep_alive_s=asked)
    assert box.connack(device).properties.server_keep_alive_s == told
    assert device.mqtt.keep_alive_s == (told or asked)


def test_clients_of_3_1_1_keep_their_keep_alive(box: Box) -> None:
    assert box.joined("a", V3, keep_alive_s=600).mqtt.keep_alive_s == 600


def test_a_longer_session_than_allowed_is_overruled(box: Box) -> None:
    week_s = box.service.options.session_expiry_max_s
    assert box.connack(box.device("a", expiry_s=week_s + 1)).properties.session_expiry_s == week_s
    assert box.connack(box.device("b", expiry_s=week_s)).properties.session_expiry_s is None


def test_mqtt_3_1_3_an_empty_client_id_is_answered_with_one(box: Box) -> None:
    first, second = (box.connack(box.device("", clean=False)).properties.assigned_client_id for _ in range(2))
    assert "" not in (first, second)
    assert first != second


def test_mqtt_3_1_3_8_an_empty_client_id_needs_a_clean_session_in_3_1_1(box: Box) -> None:
    assert box.connack(box.device("", V3)).reason_code == 0
    refused = box.device("", V3, clean=False)
    assert box.connack(refused).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    assert refused.line.closed is not None


def test_a_very_long_client_id_is_refused(box: Box) -> None:
    assert box.connack(box.device("x" * 256)).reason_code == 0
    assert box.connack(box.device("x" * 257)).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID


def test_an_unknown_authentication_method_is_refused(box: Box) -> None:
    device = box.device("a", properties=ConnectProperties(authentication_method="SCRAM-SHA-1"))
    assert box.connack(device).reason_code == ReasonCode.BAD_AUTHENTICATION_METHOD


@pytest.mark.parametrize("name", ["a/b", "a+", "#"])
def test_a_user_name_may_not_be_a_pattern(box: Box, name: str) -> None:
    assert box.connack(box.device("a", user_name=name)).reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD


def test_a_user_name_without_a_password_is_a_claimed_name(box: Box) -> None:
    device = box.joined("a", user_name="Ada")
    assert (device.mqtt.session.name, device.mqtt.session.user) == ("Ada", None)
    assert box.connack(box.device("b", user_name="ada")).reason_code == ReasonCode.NOT_AUTHORIZED


def test_a_token_is_a_password() -> None:
    box = Box(anonymous=False, authenticator=Tokens(good=Claims(user="ada")))
    assert box.joined("a", user_name="ada", password=b"good").mqtt.session.user == "ada"
    assert box.joined("b", password=b"good").mqtt.session.user == "ada"
    assert box.connack(box.device("c", user_name="bob", password=b"good")).reason_code == ReasonCode.NOT_AUTHORIZED


@pytest.mark.parametrize("password", [None, b"bad", b"\xff"])
@pytest.mark.parametrize("version", [V3, V5])
def test_who_has_no_good_credential_is_refused(password: bytes | None, version: packets.Version) -> None:
    box = Box(anonymous=False, authenticator=Tokens(good=Claims(user="ada")))
    device = box.device("a", version, user_name="ada", password=password)
    assert box.connack(device).reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD
    assert device.line.closed is not None
    assert not box.hub.sessions


def test_a_will_that_its_client_may_not_say_is_refused_at_once(box: Box) -> None:
    device = box.device("a", will=Will("closed/a", b""))
    assert box.connack(device).reason_code == ReasonCode.NOT_AUTHORIZED
    assert box.service.sessions.wills_sent == 0


def test_what_a_hook_refuses_is_refused(box: Box) -> None:
    def refuse(session: object) -> None:
        raise PermissionError

    box.hub.hooks.connect.append(refuse)
    device = box.device("a")
    assert box.connack(device).reason_code >= 0x80
    assert device.line.closed is not None
    box.take_errors()


def test_connecting_counts_as_a_session_like_any_other(box: Box) -> None:
    device = box.joined("a")
    (session,) = box.hub.sessions.values()
    assert session is device.mqtt.session
    assert (session.peer.carrier, session.is_open) == ("mqtt", True)
    device.goodbye()
    assert not box.hub.sessions


def test_a_connect_of_an_unknown_version_is_refused_in_its_words(box: Box) -> None:
    from tests.hub.mqtt.rig import Device

    device = Device(box, V3)
    device.feed(b"\x10\x0d\x00\x04MQTT\x03\x02\x00\x00\x00\x01a")
    (answer,) = device.take()
    assert isinstance(answer, packets.Connack)
    assert answer.reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
    assert isinstance(Connect("a"), Connect)
