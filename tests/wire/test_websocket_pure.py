"""Without a compiled module the codec in Python serves; what both codecs do is in test_websocket."""

import subprocess
import sys

import pytest

from tests.wire.codecs import load_codec

PROGRAM = """
import sys
for missing in sys.argv[1:]:
    sys.modules[missing] = None
from chappe.wire.websocket import NATIVE, WebSocketCodec, encode_frame
print(NATIVE, WebSocketCodec.__module__, encode_frame.__module__)
"""


def chosen(*missing: str) -> list[str]:
    """Return what a process without these modules chooses."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *missing], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
def test_the_native_codec_is_chosen_where_it_is_and_else_the_one_in_python() -> None:
    assert chosen() == ["True", "chappe.wire._websocket", "chappe.wire._websocket"]
    assert chosen("chappe.wire._websocket") == ["False", "chappe.wire.websocket_pure", "chappe.wire.websocket_pure"]


def test_nothing_is_kept_of_what_comes_behind_the_end() -> None:
    codec = load_codec("pure").WebSocketCodec(1_000)
    codec.receive(b"\x81\x84\0\0\0\0ab")
    codec.fail(1_008, "enough")
    assert codec.receive(b"cd" + b"\x81\x81\0\0\0\0x") == []
    assert codec.ended
