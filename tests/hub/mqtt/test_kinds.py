from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.mqtt.kinds import command_id, parts_of


@given(kind=st.integers(0, 7), packet_id=st.integers(0, 65_535), index=st.integers(0, 1 << 40))
def test_what_goes_into_an_id_comes_out_again(kind: int, packet_id: int, index: int) -> None:
    assert parts_of(command_id(kind, packet_id, index)) == (kind, packet_id, index)
