from __future__ import annotations

from chappe.hub.mqtt.wording import reason_of_close, reason_of_connect, reason_of_publish, reason_of_subscribe
from chappe.model.error_codes import Code
from chappe.protocols.mqtt.reason_codes import ReasonCode


def test_every_error_of_the_hub_has_a_reason_that_says_failure() -> None:
    for code in Code:
        for reason in (
            reason_of_close(code),
            reason_of_connect(code),
            reason_of_subscribe(code),
            reason_of_publish(code, "data"),
        ):
            assert reason >= ReasonCode.UNSPECIFIED_ERROR


def test_a_bad_field_is_named() -> None:
    assert reason_of_publish(Code.BAD_REQUEST, "channel") == ReasonCode.TOPIC_NAME_INVALID
    assert reason_of_publish(Code.BAD_REQUEST, "data") == ReasonCode.PAYLOAD_FORMAT_INVALID
    assert reason_of_subscribe(Code.BAD_REQUEST) == ReasonCode.TOPIC_FILTER_INVALID


def test_what_an_application_refuses_is_its_own_affair() -> None:
    assert reason_of_subscribe(1_000) == ReasonCode.UNSPECIFIED_ERROR
