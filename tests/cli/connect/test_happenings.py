"""A happening becomes one JSON object with only what it has."""

import datetime

from chappe.cli.connect.happenings import Happening, as_json, preview

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=datetime.UTC)


def test_text_is_text_and_bytes_are_base64() -> None:
    assert as_json(Happening(kind="received", time=NOW, text="hi")) == {
        "event": "received",
        "time": "2026-11-22T12:00:00.123Z",
        "text": "hi",
    }
    assert as_json(Happening(kind="received", time=NOW, data=b"\x00\xff"))["base64"] == "AP8="
    assert as_json(Happening(kind="received", time=NOW))["text"] == ""


def test_what_a_kind_does_not_use_is_left_out() -> None:
    line = as_json(Happening(kind="disconnected", time=NOW, code=1006, reason="cut"))
    assert line == {"event": "disconnected", "time": "2026-11-22T12:00:00.123Z", "code": 1006, "reason": "cut"}


def test_a_preview_shows_the_first_bytes() -> None:
    assert preview(b"\x00\xffa") == "00 ff 61"
    assert preview(bytes(20), 2) == "00 00 …"
