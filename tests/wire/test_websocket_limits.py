"""What both codecs bound."""

from hypothesis import given
from hypothesis import strategies as st

from chappe.wire.websocket_limits import MAX_REASON_BYTES, shorten_reason


@given(st.text(max_size=300))
def test_ws_10_a_reason_is_cut_at_the_edge_of_a_character(reason: str) -> None:
    cut = shorten_reason(reason)
    assert reason.startswith(cut)
    assert len(cut.encode()) <= MAX_REASON_BYTES
    assert cut == reason or len(reason[: len(cut) + 1].encode()) > MAX_REASON_BYTES
