"""classic frames become commands; every error keeps the connection."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.error_codes import Code
from chappe.model.limits import Limits
from chappe.model.publication import Kind
from chappe.protocols import base
from chappe.protocols.classic import ClassicEncoder, ClassicProtocol
from chappe.protocols.classic.decoder import BATCH_BYTES, BINARY_BYTES, TEXT_BYTES, lying_file_header

TEXT = st.text(max_size=20)
MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("message"), "content": TEXT}, optional={"username": TEXT, "timestamp": TEXT}
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["lock", "unlock", "lock_owner"]), "resource": TEXT}),
    st.fixed_dictionaries({"type": st.sampled_from(["ping", "pong", "userlist", "nope"])}),
    st.fixed_dictionaries({"service": TEXT, "action": TEXT}, optional={"requestId": TEXT}),
)


def protocol(name: str = "Ada", room: str = "chat/lobby") -> ClassicProtocol:
    """Return a protocol that is logged in, or one that is not if the name is empty."""
    found = ClassicProtocol(Limits(), ClassicEncoder())
    if name:
        found.opened(name)
        found.entered(room)
    return found


def resolved(protocol: ClassicProtocol, payload: bytes, text: bool) -> list[base.Command]:
    """Return what the commands of a frame mean if the protocol stays as it is until their turn comes."""
    found = protocol.receive(payload, text)
    return [protocol.resolve(command) if type(command) in base.ROOM_COMMANDS else command for command in found]


def only(fields: Any, name: str = "Ada") -> base.Command:
    (found,) = resolved(protocol(name), json.dumps(fields).encode(), True)
    return found


def error(found: base.Command) -> tuple[int, str | None]:
    assert isinstance(found, base.Rejected)
    assert found.id is None
    return found.error.code, found.error.detail.get("field")


@given(MESSAGES, MESSAGES)
def test_cl_8_1_a_batch_is_its_messages_in_order(first: dict[str, Any], second: dict[str, Any]) -> None:
    batch = {"type": "batch", "messages": [json.dumps(first), json.dumps(second)]}
    got = resolved(protocol(), json.dumps(batch).encode(), True)
    assert [shown(command) for command in got] == [shown(only(first)), shown(only(second))]


def shown(command: base.Command) -> Any:
    return error(command) if isinstance(command, base.Rejected) else command


@given(TEXT, st.none() | TEXT)
def test_cl_3_1_a_message_is_a_publication_in_the_room(content: str, sent: str | None) -> None:
    fields = {"type": "message", "content": content} | ({} if sent is None else {"timestamp": sent})
    found = only(fields)
    assert isinstance(found, base.Publish)
    assert (found.channel, found.kind, found.transient) == ("chat/lobby", Kind.JSON, False)
    expected = {"type": "message", "content": content, "username": "Ada"} | ({} if sent is None else {"sent": sent})
    assert json.loads(found.payload) == expected


@given(TEXT)
def test_cl_3_2_the_name_that_was_given_is_passed_on_for_the_hub_to_judge(username: str) -> None:
    found = only({"type": "message", "content": "x", "username": username})
    assert isinstance(found, base.Publish)
    assert json.loads(found.payload)["username"] == username


def test_cl_2_1_after_a_login_elsewhere_messages_go_there() -> None:
    there = protocol(room="chat/deux")
    for text, payload in ((True, b'{"type":"message","content":"x"}'), (False, b"x")):
        (found,) = resolved(there, payload, text)
        assert isinstance(found, base.Publish)
        assert found.channel == "chat/deux"


def test_cl_2_2_a_login_that_was_refused_may_be_tried_again() -> None:
    fresh = protocol("")
    for name in ("Ada", "Blaise"):
        (found,) = resolved(fresh, json.dumps({"type": "login", "content": name}).encode(), True)
        assert isinstance(found, base.Login)
        assert found.name == name
    fresh.opened("Blaise")
    fresh.entered("chat/lobby")
    (found,) = resolved(fresh, b'{"type":"login","content":"Ada"}', True)
    assert error(found) == (Code.BAD_REQUEST, "type")


@pytest.mark.parametrize("size", [TEXT_BYTES - 1, TEXT_BYTES])
def test_cl_1_2_a_text_of_10240_bytes_is_taken(size: int) -> None:
    payload = b'{"type":"message","content":"%b"}' % (b"x" * (size - 31))
    assert len(payload) == size
    (found,) = resolved(protocol(), payload, True)
    assert isinstance(found, base.Publish)


@pytest.mark.parametrize("size", [TEXT_BYTES + 1, BATCH_BYTES, BATCH_BYTES + 1, BINARY_BYTES])
@pytest.mark.parametrize("filling", [b"x", b"[", b'{"type":"message","content":"'])
def test_cl_1_2_a_longer_one_is_113_whatever_it_is(size: int, filling: bytes) -> None:
    (found,) = resolved(protocol(), filling + b"x" * (size - len(filling)), True)
    assert error(found)[0] == Code.MESSAGE_TOO_LARGE


def test_cl_8_1_each_message_of_a_batch_has_the_limit_of_one() -> None:
    long = json.dumps({"type": "message", "content": "x" * TEXT_BYTES})
    batch = {"type": "batch", "messages": [long, '{"type":"ping"}']}
    first, second = resolved(protocol(), json.dumps(batch).encode(), True)
    assert error(first)[0] == Code.MESSAGE_TOO_LARGE
    assert second == base.Ping()


@given(st.binary(max_size=100))
def test_cl_7_1_a_binary_frame_is_a_transient_publication(payload: bytes) -> None:
    (found,) = resolved(protocol(), payload, False)
    if lying_file_header(payload) is None:
        assert isinstance(found, base.Publish)
        assert (found.payload, found.kind, found.transient) == (payload, Kind.BINARY, True)
    else:
        assert error(found) == (Code.BAD_REQUEST, "header")


def test_cl_2_4_binary_before_the_login_is_116() -> None:
    (found,) = resolved(protocol(""), b"x", False)
    assert error(found) == (Code.NOT_LOGGED_IN, None)


def file(header: Any, content: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(4, "little") + text + content


GOOD = {"type": "file", "filename": "é.txt", "size": 3, "timestamp": "now"}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"abc",
        b"\x02\x00\x00\x00",
        file(GOOD, b"abc"),
        file({**GOOD, "size": 0}, b""),
        file({"type": "other", "size": 99}, b""),
        file([1], b""),
        b"\x04\x00\x00\x00{bad",
        b"\xff\xff\xff\xff{",
    ],
)
def test_cl_7_2_a_header_that_is_right_or_none_passes(payload: bytes) -> None:
    assert lying_file_header(payload) is None


@pytest.mark.parametrize(
    "payload",
    [
        file(GOOD, b"ab"),
        file(GOOD, b"abcd"),
        file(GOOD, b"abc", 60_000),
        file({**GOOD, "size": "3"}, b"abc"),
        file({**GOOD, "size": True}, b"a"),
        file({**GOOD, "size": -3}, b"abc"),
        file({"type": "file", "size": 3}, b"abc"),
        file({"type": "file", "filename": "x"}, b"abc"),
        file({"type": "file", "filename": ["x"], "size": 3}, b"abc"),
    ],
)
def test_cl_7_2_a_header_that_lies_is_refused(payload: bytes) -> None:
    assert lying_file_header(payload) is not None
    (found,) = resolved(protocol(), payload, False)
    assert error(found) == (Code.BAD_REQUEST, "header")


@given(st.text(max_size=120) | st.binary(max_size=120), st.sampled_from(["", "Ada"]))
def test_any_frame_becomes_commands_or_documented_errors(payload: str | bytes, name: str) -> None:
    text = isinstance(payload, str)
    raw = payload.encode() if isinstance(payload, str) else payload
    for found in resolved(protocol(name), raw, text):
        if isinstance(found, base.Rejected):
            assert error(found)[0] in (Code.BAD_REQUEST, Code.UNKNOWN_COMMAND, Code.NOT_LOGGED_IN)


@given(MESSAGES | st.fixed_dictionaries({"type": st.just("batch"), "messages": st.just(["{}"])}), st.data())
def test_damaged_frames_become_commands_or_documented_errors(fields: dict[str, Any], data: st.DataObject) -> None:
    payload = bytearray(json.dumps(fields).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 127))
    for found in resolved(protocol(), bytes(payload), True):
        assert not isinstance(found, base.Rejected) or error(found)[0] in (Code.BAD_REQUEST, Code.UNKNOWN_COMMAND)


@given(MESSAGES, st.sampled_from(["type", "content", "username", "resource"]), st.sampled_from([1, None, [], {}, True]))
def test_cl_1_3_a_member_that_is_no_string_is_named(fields: dict[str, Any], member: str, value: Any) -> None:
    if member not in fields or fields["type"] in ("nope", "ping"):
        return
    assert error(only({**fields, member: value})) == (Code.BAD_REQUEST, member)


def test_cl_1_2_nobody_makes_us_buffer_16_mib_before_the_login() -> None:
    fresh = protocol("")
    # A lock opens the session too, and is no login.
    fresh.opened("")
    assert fresh.frame_bytes == (Limits().frame_bytes, Limits().frame_bytes)
    fresh.entered("chat/lobby")
    assert fresh.frame_bytes == (Limits().frame_bytes, BINARY_BYTES)


def test_cl_2_4_what_needs_a_login_is_judged_when_its_turn_comes() -> None:
    """The decoder decided: a message in the same batch as its login was 116, and a refused login moved the room."""
    fresh = protocol("")
    batch = {
        "type": "batch",
        "messages": ['{"type":"login","content":"Ada","room":"chat/deux"}', '{"type":"message","content":"x"}'],
    }
    login, said = fresh.receive(json.dumps(batch).encode(), True)
    assert error(fresh.resolve(said)) == (Code.NOT_LOGGED_IN, None)
    assert fresh.resolve(login) == login
    fresh.opened("Ada")
    assert error(fresh.resolve(said)) == (Code.NOT_LOGGED_IN, None)
    fresh.entered("chat/vip")
    published = fresh.resolve(said)
    assert isinstance(published, base.Publish)
    assert published.channel == "chat/vip"
    assert error(fresh.resolve(login)) == (Code.BAD_REQUEST, "type")


def test_cl_2_3_a_name_in_use_ends_the_connection_and_nothing_is_joined_before_the_login() -> None:
    assert protocol("").closes_refused_names
    assert protocol("").joins_at_once() is None
