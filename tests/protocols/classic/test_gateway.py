"""`/gateway` takes service requests, `ping` and `pong`."""

import json
from typing import Any

import pytest

from chappe.model.error_codes import Code
from chappe.model.limits import Limits
from chappe.protocols import base
from chappe.protocols.classic import ClassicEncoder, GatewayProtocol
from chappe.protocols.classic.decoder import TEXT_BYTES


def only(payload: bytes, text: bool = True) -> base.Command:
    (found,) = GatewayProtocol(Limits(), ClassicEncoder()).receive(payload, text)
    return found


def code(found: base.Command) -> int:
    assert isinstance(found, base.Rejected)
    return found.error.code


def test_ra_5_a_service_request_passes() -> None:
    found = only(b'{"service":"billing","action":"quote","requestId":"r1","amount":3}')
    assert found == base.ServiceRequest("billing", "quote", "r1")


def test_ra_5_signs_of_life_pass() -> None:
    assert only(b'{"type":"ping"}') == base.Ping()
    assert only(b'{"type":"pong"}') == base.PongReceived()


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "login", "content": "Ada"},
        {"type": "message", "content": "hello"},
        {"type": "userlist"},
        {"type": "lock", "resource": "r"},
        {"type": "unlock", "resource": "r"},
        {"type": "lock_owner", "resource": "r"},
        {"type": "batch", "messages": []},
        {"type": "nope"},
    ],
)
def test_ra_5_chat_is_unknown_here(fields: dict[str, Any]) -> None:
    assert code(only(json.dumps(fields).encode())) == Code.UNKNOWN_COMMAND


@pytest.mark.parametrize("payload", [b"", b"[]", b"nope", b"{}", b'{"type":1}'])
def test_ra_5_what_is_no_request_is_107(payload: bytes) -> None:
    assert code(only(payload)) == Code.BAD_REQUEST


def test_ra_5_a_binary_frame_is_107_and_a_long_text_113() -> None:
    assert code(only(b"x", False)) == Code.BAD_REQUEST
    assert code(only(b"x" * (TEXT_BYTES + 1))) == Code.MESSAGE_TOO_LARGE


def test_ra_5_nobody_makes_us_buffer_16_mib_here() -> None:
    assert GatewayProtocol(Limits(), ClassicEncoder()).frame_bytes == (Limits().frame_bytes, Limits().frame_bytes)
