"""permessage-deflate: which offers are accepted, and what compressed messages become."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from chappe.wire.deflate import (
    MAX_FINAL_BLOCKS,
    MAX_RATIO,
    RATIO_FREE_BYTES,
    InflateError,
    compress,
    inflate,
    negotiate,
)

MIB = 1_048_576
BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
WINDOW = f"{BOTH}; server_max_window_bits=12"

ACCEPTED = {
    "permessage-deflate": BOTH,
    "Permessage-Deflate ; Client_Max_Window_Bits": BOTH,
    "permessage-deflate; client_max_window_bits=8": BOTH,
    "permessage-deflate; client_max_window_bits=15": BOTH,
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover": BOTH,
    "permessage-deflate; server_max_window_bits=15": WINDOW,
    "permessage-deflate; server_max_window_bits=12": WINDOW,
    'permessage-deflate; server_max_window_bits="13"': WINDOW,
    'permessage-deflate;server_max_window_bits="1\\3"': WINDOW,
    "permessage-deflate; client_max_window_bits; server_max_window_bits=14": WINDOW,
    # The first alternative that can be taken (RFC 7692, 5.2).
    "permessage-deflate; server_max_window_bits=9, permessage-deflate": BOTH,
    "permessage-deflate; mode=fast, permessage-deflate; server_max_window_bits=12": WINDOW,
    "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits": BOTH,
    ", permessage-deflate ,": BOTH,
}
DECLINED = [
    "",
    ",",
    "permessage-bzip2",
    "permessage-deflate; server_max_window_bits=11",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=012",
    "permessage-deflate; server_max_window_bits=+12",
    "permessage-deflate; server_max_window_bits=1_2",
    "permessage-deflate; client_max_window_bits=08",
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; server_no_context_takeover=1",
    'permessage-deflate; client_no_context_takeover="true"',
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_max_window_bits; client_max_window_bits=12",
    "permessage-deflate; unknown",
]
MALFORMED = [
    "permessage-deflate;",
    "permessage-deflate; =1",
    "permessage-deflate; server_max_window_bits=",
    'permessage-deflate; server_max_window_bits="12',
    'permessage-deflate; server_max_window_bits=""',
    'permessage-deflate; server_max_window_bits="1 2"',
    "permessage deflate",
    "permessage-deflate, ;",
    "permessage-deflate; a b",
    "é",
]


@pytest.mark.parametrize("offers", ACCEPTED)
def test_ws_3_an_offer_that_can_be_kept_is_accepted(offers: str) -> None:
    deflate = negotiate(offers)
    assert deflate is not None
    assert deflate.answer == ACCEPTED[offers]


@pytest.mark.parametrize("offers", DECLINED)
def test_ws_3_an_offer_that_cannot_be_kept_is_declined(offers: str) -> None:
    assert negotiate(offers) is None


@pytest.mark.parametrize("offers", MALFORMED)
def test_ws_3_a_malformed_header_is_an_error(offers: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        negotiate(offers)


@given(st.text(st.sampled_from('permessage-deflate;=, "\\12server_max_window_bits\t')))
def test_any_header_is_accepted_declined_or_malformed(offers: str) -> None:
    try:
        deflate = negotiate(offers)
    except ValueError:
        return
    assert deflate is None or deflate.answer in (BOTH, WINDOW)


@given(st.binary(max_size=5_000))
def test_what_was_compressed_comes_back(payload: bytes) -> None:
    assert inflate(compress(payload), 5_000) == payload


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537])
def test_the_limit_is_the_last_size_that_is_taken(size: int) -> None:
    payload = random.Random(1).randbytes(size + 1)
    assert inflate(compress(payload[:size]), size) == payload[:size]
    with pytest.raises(InflateError) as refused:
        inflate(compress(payload[: size + 1]), size)
    assert refused.value.close_code == 1009


def test_an_empty_message_is_one_byte() -> None:
    assert compress(b"") == b"\x00"
    assert inflate(b"\x00", 0) == b""
    assert inflate(b"", 0) == b""


@given(st.binary(max_size=3_000), st.integers(9, 15), st.integers(0, 9))
def test_what_the_library_compressed_is_read_whatever_its_window(payload: bytes, bits: int, level: int) -> None:
    peer = PerMessageDeflate(False, True, 15, bits, {"level": level})
    frame = peer.encode(Frame(Opcode.BINARY, payload))
    assert inflate(bytes(frame.data), 3_000) == payload


@given(st.binary(max_size=9_000))
def test_what_we_compress_is_read_by_a_reader_with_a_window_of_12_bits(payload: bytes) -> None:
    peer = PerMessageDeflate(True, True, 12, 12)
    frame = peer.decode(Frame(Opcode.BINARY, compress(payload), rsv1=True))
    assert bytes(frame.data) == payload


def final(payload: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(payload) + deflater.flush()


def test_a_final_block_is_legal() -> None:
    # The example of RFC 7692, 7.2.3.4, and a sender that ends with such a block and strips nothing.
    assert inflate(bytes.fromhex("f348cdc9c9070000"), 100) == b"Hello"
    assert inflate(final(b"Hello"), 100) == b"Hello"
    assert inflate(final(b"Hel") + final(b"lo") + compress(b"!"), 100) == b"Hello!"


def test_blocks_that_need_a_decompressor_each_are_counted() -> None:
    with pytest.raises(InflateError) as refused:
        inflate(final(b"") * (MAX_FINAL_BLOCKS + 1), 100)
    assert refused.value.close_code == 1008


def test_the_limit_holds_over_all_final_blocks() -> None:
    assert inflate(final(b"x" * 50) + final(b"y" * 50), 100) == b"x" * 50 + b"y" * 50
    with pytest.raises(InflateError) as refused:
        inflate(final(b"x" * 50) + final(b"y" * 51), 100)
    assert refused.value.close_code == 1009


def test_a_ratio_counts_above_a_mebibyte_only() -> None:
    assert inflate(compress(bytes(RATIO_FREE_BYTES)), 16 * MIB) == bytes(RATIO_FREE_BYTES)
    bomb = compress(bytes(2 * MIB))
    assert len(bomb) * MAX_RATIO < 2 * MIB
    with pytest.raises(InflateError) as refused:
        inflate(bomb, 16 * MIB)
    assert refused.value.close_code == 1008


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x07", b"hello", compress(b"hello, hello")[:-1], compress(bytes(300))[:-2]]
)
def test_what_is_no_deflated_data_or_breaks_off_is_1002(data: bytes) -> None:
    with pytest.raises(InflateError) as refused:
        inflate(data, MIB)
    assert refused.value.close_code == 1002


@given(st.binary(max_size=600), st.integers(0, 1_000))
def test_any_bytes_become_a_message_within_the_limit_or_an_error(data: bytes, limit: int) -> None:
    try:
        plain = inflate(data, limit)
    except InflateError as error:
        found = error.close_code
    else:
        found = 1000 if len(plain) <= limit else 0
    assert found in (1000, 1002, 1008, 1009)
