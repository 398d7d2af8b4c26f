"""Why there is no connection, as data."""

import ssl

import pytest
from aiomqtt import MqttCodeError, MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from chappe.bridges.mqtt.refusal import refusal


@pytest.mark.parametrize(
    ("error", "noted", "kind", "text"),
    [
        (MqttCodeError(ReasonCode(PacketTypes.CONNACK, "Not authorized")), "", "login", "Not authorized"),
        (MqttCodeError(ReasonCode(PacketTypes.CONNACK, identifier=0x84)), "", "version", "Unsupported"),
        (MqttCodeError(ReasonCode(PacketTypes.CONNACK, "Server busy")), "", "refused", "Server busy"),
        (MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, "Unspecified error")), "", "closed", ""),
        (MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, "Unspecified error")), "reset by peer", "closed", "reset"),
        (MqttCodeError(7), "[SSL: TLSV13_ALERT_X] tlsv13 alert x (_ssl.c:1)", "tls", "tlsv13 alert x"),
        (MqttError("[Errno 111] Connection refused"), "", "unreachable", "Connection refused"),
        (MqttError("Operation timed out"), "", "unreachable", "timed out"),
        (
            MqttError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:9)"),
            "",
            "certificate",
            "self-signed certificate",
        ),
        (
            ssl.SSLError("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:9)"),
            "",
            "tls",
            "wrong version number",
        ),
    ],
)
def test_the_kind_and_the_words_are_found(error: Exception, noted: str, kind: str, text: str) -> None:
    found = refusal(error, noted)
    assert found.kind == kind
    assert text in found.text
    assert "_ssl.c" not in found.text
    assert str(found)
