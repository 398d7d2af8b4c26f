"""Which reason code of MQTT says what an error of the hub says."""

from typing import Final

from chappe.model.error_codes import Code
from chappe.protocols.mqtt.reason_codes import ReasonCode

_OF_COMMANDS: Final[dict[int, ReasonCode]] = {
    Code.UNAUTHORIZED: ReasonCode.NOT_AUTHORIZED,
    Code.TOKEN_EXPIRED: ReasonCode.NOT_AUTHORIZED,
    Code.PERMISSION_DENIED: ReasonCode.NOT_AUTHORIZED,
    Code.LIMIT_EXCEEDED: ReasonCode.QUOTA_EXCEEDED,
    Code.TOO_MANY_REQUESTS: ReasonCode.QUOTA_EXCEEDED,
    Code.MESSAGE_TOO_LARGE: ReasonCode.PACKET_TOO_LARGE,
}
_OF_CLOSES: Final[dict[int, ReasonCode]] = {
    Code.SHUTDOWN: ReasonCode.SERVER_SHUTTING_DOWN,
    Code.EXPIRED: ReasonCode.NOT_AUTHORIZED,
    Code.INVALID_TOKEN: ReasonCode.NOT_AUTHORIZED,
    Code.SLOW_CONSUMER: ReasonCode.QUOTA_EXCEEDED,
    Code.NO_PONG: ReasonCode.KEEP_ALIVE_TIMEOUT,
    Code.BAD_REQUEST_CLOSE: ReasonCode.PROTOCOL_ERROR,
    Code.STALE: ReasonCode.SESSION_TAKEN_OVER,
    Code.DISCONNECTED: ReasonCode.ADMINISTRATIVE_ACTION,
    Code.CONNECTION_LIMIT: ReasonCode.QUOTA_EXCEEDED,
    Code.INSUFFICIENT_STATE: ReasonCode.SERVER_BUSY,
    Code.NAME_IN_USE_CLOSE: ReasonCode.NOT_AUTHORIZED,
}
_OF_CONNECTS: Final[dict[int, ReasonCode]] = {
    Code.UNAUTHORIZED: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    Code.TOKEN_EXPIRED: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    Code.PERMISSION_DENIED: ReasonCode.NOT_AUTHORIZED,
    Code.NAME_IN_USE: ReasonCode.NOT_AUTHORIZED,
    Code.BAD_REQUEST: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    Code.TOO_MANY_REQUESTS: ReasonCode.CONNECTION_RATE_EXCEEDED,
    Code.NOT_AVAILABLE: ReasonCode.SERVER_UNAVAILABLE,
}


def reason_of_subscribe(code: int) -> ReasonCode:
    """Return what SUBACK says of an error; what an application refuses is its own affair: unspecified."""
    if code == Code.BAD_REQUEST:
        return ReasonCode.TOPIC_FILTER_INVALID
    return _OF_COMMANDS.get(code, ReasonCode.UNSPECIFIED_ERROR)


def reason_of_publish(code: int, field: str) -> ReasonCode:
    """Return what PUBACK or PUBREC says of an error about a field."""
    if code == Code.BAD_REQUEST:
        return ReasonCode.TOPIC_NAME_INVALID if field == "channel" else ReasonCode.PAYLOAD_FORMAT_INVALID
    return _OF_COMMANDS.get(code, ReasonCode.UNSPECIFIED_ERROR)


def reason_of_connect(code: int) -> ReasonCode:
    """Return what CONNACK says of an error."""
    return _OF_CONNECTS.get(code, ReasonCode.UNSPECIFIED_ERROR)


def reason_of_close(code: int) -> ReasonCode:
    """Return what DISCONNECT says of a close code."""
    return _OF_CLOSES.get(code, ReasonCode.UNSPECIFIED_ERROR)


#: Errors of a publish that pass by themselves: who cannot be told so must not take the message for delivered.
PASSING: Final = frozenset({Code.INTERNAL_ERROR, Code.NOT_AVAILABLE, Code.TOO_MANY_REQUESTS})
