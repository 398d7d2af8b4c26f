"""Why there is no connection to an outside broker, as data that any language can word."""

import ssl
from typing import Literal, TypeAlias

from aiomqtt import MqttCodeError, MqttError
from paho.mqtt.reasoncodes import ReasonCode

Kind: TypeAlias = Literal["login", "version", "certificate", "tls", "unreachable", "refused", "closed"]

#: Reason codes of a CONNACK (MQTT 5, 3.2.2.2; paho gives those of 3.1.1 as these).
_LOGIN = frozenset({0x86, 0x87, 0x8A, 0x8C})
_VERSION = frozenset({0x84})
#: What paho says of its own when a connection ends without a word.
_UNSPECIFIED = 0x80


class RefusalError(Exception):
    """There is no connection.

    Attributes:
        kind: `login` (user, password or address), `version` of MQTT, `certificate` (theirs is not believed), `tls`
            (anything else about TLS: mostly that they do not believe ours), `unreachable`, `refused` (in their words),
            `closed`.
        text: what was told, without a secret.
    """

    def __init__(self, kind: Kind, text: str) -> None:
        self.kind: Kind = kind
        self.text = text
        super().__init__(f"{_WORDS[kind]}: {text}" if text else _WORDS[kind])


_WORDS: dict[Kind, str] = {
    "login": "the broker refuses the login",
    "version": "the broker does not speak this version of MQTT",
    "certificate": "the broker's certificate is not believed",
    "tls": "no TLS connection",
    "unreachable": "the broker cannot be reached",
    "refused": "the broker refuses",
    "closed": "the connection was cut",
}


def refusal(error: BaseException, noted: str = "") -> RefusalError:
    """Return why connecting failed.

    Args:
        noted: what the connection's own log said last.
    """
    if isinstance(error, MqttCodeError) and isinstance(error.rc, ReasonCode) and error.rc.value > _UNSPECIFIED:
        code = int(error.rc.value)
        kind: Kind = "login" if code in _LOGIN else "version" if code in _VERSION else "refused"
        return RefusalError(kind, str(error.rc))
    if isinstance(error, ssl.SSLCertVerificationError):
        return RefusalError("certificate", error.verify_message)
    text = noted or (str(error) if not isinstance(error, MqttCodeError) else "")
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return RefusalError("certificate", _after(text, "certificate verify failed: "))
    if "SSL" in text or "TLS" in text:
        return RefusalError("tls", _after(text, "] "))
    if isinstance(error, MqttCodeError):
        return RefusalError("closed", text)
    return RefusalError("unreachable" if isinstance(error, OSError | MqttError) else "refused", text)


def _after(text: str, mark: str) -> str:
    """Return what stands behind a mark, without the line of OpenSSL's source."""
    return text.rpartition(mark)[2].partition(" (_ssl.c")[0]
