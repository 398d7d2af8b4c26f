"""chappe.v1 frames become commands; what is malformed becomes an error in its place and nothing else."""

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.error_codes import Code
from chappe.model.errors import RemoteProtocolError
from chappe.model.limits import Limits
from chappe.model.position import Position
from chappe.model.publication import Kind
from chappe.protocols import base
from chappe.protocols.chappe import ChappeProtocol, JsonEncoder, MsgpackEncoder

IDS = st.integers(-(2**63), 2**64 - 1)
TEXT = st.text(max_size=20)
POSITIONS = st.fixed_dictionaries({"epoch": TEXT, "offset": st.integers(0, 2**53)})
OBJECTS = st.dictionaries(TEXT, st.integers(-9, 9) | TEXT, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def command(kind: str, required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), "id": IDS, **required}, optional=optional)


COMMANDS = st.one_of(
    command("connect", {}, {"token": TEXT, "name": TEXT, "client": OBJECTS, "resume": TEXT, "batch": st.booleans()}),
    command(
        "subscribe",
        {"channel": TEXT},
        {"since": st.none() | st.integers(0, 99) | st.just("latest") | POSITIONS, "presence": st.booleans()},
    ),
    command("unsubscribe", {"channel": TEXT}, {}),
    command(
        "publish",
        {"channel": TEXT, "data": VALUES},
        {
            "key": TEXT,
            "expect": st.integers(0, 2**53) | POSITIONS,
            "retain": st.booleans(),
            "headers": st.dictionaries(TEXT, TEXT, max_size=3),
        },
    ),
    command("history", {"channel": TEXT}, {"limit": st.integers(0, 99), "since": POSITIONS, "reverse": st.booleans()}),
    command("presence", {"channel": TEXT}, {}),
    command("lock", {"resource": TEXT}, {"ttl": st.integers(0, 99), "wait": st.floats(0, 99), "operation": TEXT}),
    command("unlock", {"resource": TEXT}, {}),
    command("rpc", {"method": TEXT}, {"params": VALUES, "stream": st.booleans()}),
    command("cancel", {}, {}),
    command("refresh", {"token": TEXT}, {}),
    command("state", {"background": st.booleans()}, {}),
    command("ping", {}, {}),
)
ENCODINGS = ["json", "msgpack"]


def protocol(encoding: str, **limits: Any) -> ChappeProtocol:
    if encoding == "json":
        return ChappeProtocol(Limits(**limits), JsonEncoder())
    return ChappeProtocol(Limits(**limits), MsgpackEncoder(), msgpack=True)


def encode(encoding: str, value: Any) -> bytes:
    return json.dumps(value).encode() if encoding == "json" else msgspec.msgpack.encode(value)


def decode(encoding: str, value: Any, **limits: Any) -> list[base.Command]:
    return [*protocol(encoding, **limits).receive(encode(encoding, value), encoding == "json")]


def only(encoding: str, value: Any, **limits: Any) -> base.Command:
    (found,) = decode(encoding, value, **limits)
    return found


def rejected(encoding: str, value: Any, **limits: Any) -> base.Rejected:
    found = only(encoding, value, **limits)
    assert isinstance(found, base.Rejected)
    return found


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(sent=COMMANDS)
def test_ch_3_every_command_arrives_as_it_was_sent(encoding: str, sent: dict[str, Any]) -> None:
    got = only(encoding, sent)
    if isinstance(got, base.Publish):
        assert msgspec.json.decode(got.payload) == sent["data"]
        assert got.kind is Kind.JSON
        expected = sent.get("expect")
        assert got.expect == (Position(**expected) if isinstance(expected, dict) else expected)
        assert got.headers == sent.get("headers")
        assert not got.transient
    for name, value in sent.items():
        if name not in ("type", "data", "expect", "since", "headers"):
            assert getattr(got, name) == value
    if "since" in sent:
        assert not isinstance(got, base.Rejected)
        since = getattr(got, "since", None)
        wanted = sent["since"]
        assert since == (base.SincePosition(**wanted) if isinstance(wanted, dict) else wanted)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(sent=st.lists(COMMANDS, max_size=6), data=st.data())
def test_ch_2_1_any_batching_gives_the_same_commands(encoding: str, sent: list[Any], data: st.DataObject) -> None:
    alone = [only(encoding, item) for item in sent]
    assert decode(encoding, sent) == alone
    cut = data.draw(st.integers(0, len(sent)))
    assert list(itertools.chain(decode(encoding, sent[:cut]), decode(encoding, sent[cut:]))) == alone


@given(COMMANDS.filter(lambda item: item["type"] != "publish"))
def test_both_encodings_mean_the_same(sent: dict[str, Any]) -> None:
    assert only("json", sent) == only("msgpack", sent)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(sent=COMMANDS, data=st.data())
def test_ch_2_6_a_command_that_lacks_a_member_is_told_which_and_keeps_its_id(
    encoding: str, sent: dict[str, Any], data: st.DataObject
) -> None:
    required = {"channel", "data", "resource", "method", "background", "type"} | (
        {"token"} if sent["type"] == "refresh" else set()
    )
    missing = data.draw(st.sampled_from(sorted(required & set(sent))))
    error = rejected(encoding, {name: value for name, value in sent.items() if name != missing})
    assert error.error.code == Code.BAD_REQUEST
    assert error.error.detail["field"] == missing
    assert error.id == sent["id"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(sent=COMMANDS, data=st.data())
def test_ch_2_6_a_member_of_the_wrong_type_is_named_and_the_id_kept(
    encoding: str, sent: dict[str, Any], data: st.DataObject
) -> None:
    free = {"data", "params", "client", "headers"}
    wrong = data.draw(st.sampled_from(sorted(set(sent) - free)))
    error = rejected(encoding, {**sent, wrong: [[]]})
    assert error.error.code == Code.BAD_REQUEST
    assert error.error.detail["field"] == wrong
    assert error.id == (None if wrong == "id" else sent["id"])


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(sent=COMMANDS, more=st.dictionaries(st.text("xyz", min_size=1, max_size=3), VALUES, max_size=3))
def test_ch_2_3_unknown_members_are_ignored(encoding: str, sent: dict[str, Any], more: dict[str, Any]) -> None:
    assert only(encoding, {**more, **sent}) == only(encoding, sent)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(payload=st.binary(max_size=200))
def test_any_bytes_become_commands_or_errors_that_are_documented(encoding: str, payload: bytes) -> None:
    if encoding == "json" and not is_utf8(payload):
        return  # carriers let no such text through (WS-7)
    for found in protocol(encoding).receive(payload, encoding == "json"):
        if isinstance(found, base.Rejected):
            assert found.error.code in (Code.BAD_REQUEST, Code.UNKNOWN_COMMAND, Code.MESSAGE_TOO_LARGE)
            assert found.error.reason
            assert "\n" not in found.error.reason


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(sent=COMMANDS, data=st.data())
def test_damaged_commands_become_commands_or_documented_errors(
    encoding: str, sent: dict[str, Any], data: st.DataObject
) -> None:
    payload = bytearray(encode(encoding, sent))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 127))
    for found in protocol(encoding).receive(bytes(payload), encoding == "json"):
        assert not isinstance(found, base.Rejected) or found.error.code in (
            Code.BAD_REQUEST,
            Code.UNKNOWN_COMMAND,
        )


def is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ch_2_2_a_frame_of_the_other_kind_ends_the_connection(encoding: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        protocol(encoding).receive(encode(encoding, {"type": "ping"}), encoding != "json")
    assert caught.value.close_code == Code.BAD_REQUEST_CLOSE
    assert "wrong kind" in caught.value.reason


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ch_2_9_a_message_over_the_limit_is_skipped_and_its_neighbours_are_not(encoding: str) -> None:
    large = {"type": "publish", "id": 2, "channel": "a", "data": "x" * 65_536}
    first, second, third = decode(encoding, [{"type": "ping", "id": 1}, large, {"type": "ping", "id": 3}])
    assert (first, third) == (base.Ping(1), base.Ping(3))
    assert isinstance(second, base.Rejected)
    assert second.id == 2
    assert second.error.code == Code.MESSAGE_TOO_LARGE
    assert second.error.detail["limit"] == 65_536
    assert second.error.detail["size"] == len(encode(encoding, large))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ch_2_9_the_limit_itself_is_carried(encoding: str) -> None:
    empty = {"type": "publish", "id": 2, "channel": "a", "data": ""}
    # MessagePack needs four more bytes to write the length of a long string.
    room = 1_000 - len(encode(encoding, empty)) - (0 if encoding == "json" else 2)
    full = {**empty, "data": "x" * room}
    assert len(encode(encoding, full)) == 1_000
    assert isinstance(only(encoding, full, message_bytes=1_000), base.Publish)
    assert rejected(encoding, {**empty, "data": "x" * (room + 1)}, message_bytes=1_000).error.code == 113


def test_ch_2_9_a_message_that_is_too_large_and_malformed_keeps_its_id() -> None:
    text = b'{"type":"publish","id":5,"data":"' + b"x" * 70_000
    (found,) = protocol("json").receive(text, True)
    assert isinstance(found, base.Rejected)
    assert (found.id, found.error.code) == (5, 113)


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ch_2_8_the_depth_of_arguments_counts_their_message(encoding: str) -> None:
    call = {"type": "rpc", "id": 1, "method": "m"}
    assert isinstance(only(encoding, {**call, "params": nested(31)}), base.Rpc)
    assert rejected(encoding, {**call, "params": nested(32)}).id == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ch_2_8_members_are_counted(encoding: str) -> None:
    many = {str(number): 1 for number in range(1_001)}
    error = rejected(encoding, {"type": "publish", "id": 1, "channel": "a", "data": many})
    assert error.error.detail == {"field": "data", "problem": "more than 1000 members"}
    assert rejected(encoding, {"type": "rpc", "id": 2, "method": "m", "params": many}).id == 2
    assert rejected(encoding, {"type": "connect", "id": 3, "client": many}).id == 3


def test_ch_2_8_a_pong_with_too_much_in_it_is_an_error_without_an_id() -> None:
    # Found by the fuzzer: a pong has no id, and the connection ended with 1011.
    many = {str(number): 1 for number in range(1_001)}
    assert rejected("json", {"type": "pong", "more": many}).id is None


@pytest.mark.parametrize("levels", [1_000, 100_000])
def test_ch_2_8_nesting_that_no_parser_survives_is_an_error_with_its_id(levels: int) -> None:
    for members in ('"channel":"a","data":', '"more":'):
        text = '{"type":"publish","id":4,' + members + "[" * levels + "]" * levels + "}"
        (found,) = protocol("json", message_bytes=10**6).receive(text.encode(), True)
        assert isinstance(found, base.Rejected)
        assert (found.id, found.error.code) == (4, Code.BAD_REQUEST)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"[[[[", b"[1,"])
def test_a_batch_that_is_malformed_as_a_whole_is_one_error(raw: bytes) -> None:
    (found,) = protocol("json").receive(raw, True)
    assert isinstance(found, base.Rejected)
    assert (found.id, found.error.code) == (None, Code.BAD_REQUEST)


def test_a_batch_is_decoded_command_by_command_so_that_others_have_a_turn_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = protocol("json")
    decoded: list[bytes] = []
    decode_one = shared._decode_one

    def noted(part: bytes) -> Any:
        decoded.append(part)
        return decode_one(part)

    monkeypatch.setattr(shared, "_decode_one", noted)
    for number, command in enumerate(shared.receive(b'[{"type":"ping","id":1},{"type":"ping","id":2}]', True), 1):
        assert command == base.Ping(number)
        assert len(decoded) == number


def test_a_protocol_keeps_nothing_between_frames_and_joins_nothing() -> None:
    shared = protocol("json")
    shared.opened("Ada")
    assert shared.joins_at_once() is None
    assert shared.receive(b'{"type":"ping"}', True) == [base.Ping()]
    assert not shared.closes_refused_names
