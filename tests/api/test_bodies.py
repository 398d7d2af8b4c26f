"""Bodies: read up to a limit and a time, decoded into types, what is wrong named."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from chappe.api import bodies
from chappe.api.bodies import MAX_BODY_BYTES, decode_body, decode_parameters, read_body
from chappe.api.commands import Asked
from chappe.model.errors import ChappeError
from chappe.model.limits import Limits
from tests.api.rig import AsgiBody


class Sample(Asked, frozen=True, kw_only=True):
    """A request."""

    name: str
    count: int = 0
    flag: bool = False


async def test_a_body_that_comes_in_parts_is_whole() -> None:
    assert await read_body(AsgiBody(b"ab", b"", b"c"), None) == b"abc"
    assert await read_body(AsgiBody(b""), "0") == b""


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    with pytest.raises(ChappeError) as caught:
        await read_body(AsgiBody(silent=True), str(MAX_BODY_BYTES + 1))
    assert caught.value.code == 113
    assert caught.value.detail == {"limit": MAX_BODY_BYTES, "size": MAX_BODY_BYTES + 1}


async def test_a_body_that_says_nothing_and_is_too_large_is_cut() -> None:
    part = b"x" * 65_536
    with pytest.raises(ChappeError) as caught:
        await read_body(AsgiBody(*[part] * 17, silent=True), None)
    assert caught.value.code == 113
    assert len(await read_body(AsgiBody(*[part] * 16), None)) == MAX_BODY_BYTES


async def test_a_body_that_does_not_come_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.01)
    with pytest.raises(ChappeError) as caught:
        await read_body(AsgiBody(b"{", silent=True), "100")
    assert caught.value.code == 107
    assert "did not come" in caught.value.reason


async def test_a_client_that_leaves_is_not_answered() -> None:
    with pytest.raises(ClientDisconnect):
        await read_body(AsgiBody(b"{", gone=True), "100")


def test_members_become_fields() -> None:
    assert decode_body(b'{"name":"a","count":2}', Sample, Limits()) == Sample(name="a", count=2)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "name"),
        (b"{}", "name"),
        (b'{"name":1}', "name"),
        (b'{"name":"a","count":"2"}', "count"),
        (b'{"name":"a","nane":1}', "nane"),
        (b'{"name":"a","type":1}', "type"),
        (b'{"name":"a","count":1e999}', "count"),
        (b'{"name":"a","count":' + b"9" * 5_000 + b"}", "count"),
    ],
)
def test_a_wrong_field_is_named(body: bytes, field: str) -> None:
    with pytest.raises(ChappeError) as caught:
        decode_body(body, Sample, Limits())
    assert caught.value.code == 107
    assert caught.value.detail.get("field") == field, caught.value


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"{",
        b"}",
        b"not json",
        b"\xef\xbb\xbf{}",
        b'{"name":"\xff"}',
        b'{"name":"a"}{"name":"a"}',
        b'{"name":"\\ud800"}',
        b"\x00",
        b"[" * 200_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ChappeError) as caught:
        decode_body(body, Sample, Limits())
    assert caught.value.code == 107
    assert len(caught.value.reason) < 300


@given(st.binary(max_size=60))
def test_any_bytes_raise_only_the_documented_error(body: bytes) -> None:
    try:
        decode_body(body, Sample, Limits())
    except ChappeError as error:
        code = error.code
    else:
        code = 107
    assert code == 107


def test_a_query_has_no_types_and_gets_them() -> None:
    assert decode_parameters({"name": "1", "count": "2", "flag": "true"}, Sample) == Sample(
        name="1", count=2, flag=True
    )


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({}, "name"), ({"name": "a", "count": "x"}, "count"), ({"name": "a", "b": "1"}, "b")],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, str], field: str) -> None:
    with pytest.raises(ChappeError) as caught:
        decode_parameters(parameters, Sample)
    assert caught.value.detail["field"] == field


def test_a_body_too_deep_for_any_payload_is_refused() -> None:
    class Loose(Asked, frozen=True, kw_only=True):
        data: msgspec.Raw

    deep = b'{"data":' + b"[" * 40 + b"]" * 40 + b"}"
    with pytest.raises(ChappeError) as caught:
        decode_body(deep, Loose, Limits())
    assert caught.value.detail["field"] == "body"
