"""Plain lines for pipes: what arrives to standard output, the rest to standard error; JSON for programs."""

import datetime
import json
from typing import Any

import pytest

from chappe.cli.connect.happenings import Happening, Kind
from chappe.cli.connect.views import JsonView, PlainView, describe, lay_out

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)
Streams = pytest.CaptureFixture[bytes]


def happening(kind: Kind, **fields: Any) -> Happening:
    return Happening(kind=kind, time=NOW, **fields)


def test_what_arrives_goes_to_standard_output_as_it_is(capfdbinary: Streams) -> None:
    view = PlainView()
    view.show(happening("received", text="é\x1b[2J"))
    view.show(happening("received", data=b"\x00\xff"))
    view.show(happening("said", who="Ada", text="hi"))
    out, err = capfdbinary.readouterr()
    assert out == "é\x1b[2J\n".encode() + b"\x00\xff" + b"Ada: hi\n"
    assert err == b""


def test_on_a_terminal_control_characters_are_escaped(capfdbinary: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    view = PlainView()
    view.show(happening("received", text="a\x1b[2J"))
    view.show(happening("received", data=b"\x00\xff"))
    assert capfdbinary.readouterr().out == b"a\\x1b[2J\nbinary, 2 bytes: 00 ff\n"


def test_everything_else_goes_to_standard_error_on_one_line(capfdbinary: Streams) -> None:
    view = PlainView()
    view.show(happening("disconnected", code=4003, reason="go\naway"))
    view.show(happening("sent", text="x"))
    out, err = capfdbinary.readouterr()
    assert (out, err) == (b"", b"disconnected: 4003 go\\naway\n")


def test_json_is_laid_out_on_request(capfdbinary: Streams) -> None:
    PlainView(pretty=True).show(happening("received", text='{"a":[1]}'))
    assert capfdbinary.readouterr().out == b'{\n  "a": [\n    1\n  ]\n}\n'
    assert lay_out("no json") == "no json"
    assert lay_out("12") == "12"


def test_the_json_view_writes_one_object_a_line(capfdbinary: Streams) -> None:
    JsonView().show(happening("received", text="a\nb"))
    JsonView().show(happening("disconnected", code=1000))
    lines = capfdbinary.readouterr().out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["received", "disconnected"]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (happening("connecting", url="ws://h/"), "connecting to ws://h/"),
        (happening("connected"), "connected"),
        (happening("connected", protocol="chat"), "connected, speaking chat"),
        (happening("reconnecting", n=1, of=3), "reconnecting 1 of 3"),
        (happening("reconnecting", n=1), "reconnecting, attempt 1"),
        (happening("disconnected", code=1000), "disconnected: 1000 normal closure"),
        (happening("disconnected", code=1006), "disconnected: 1006 the connection was cut"),
        (happening("disconnected", code=4000), "disconnected: 4000"),
        (happening("gave_up", reason="cut"), "gave up: cut"),
        (happening("joined", who="Ada"), "Ada joins"),
        (happening("left", who="Ada"), "Ada leaves"),
        (happening("present", names=("Ada", "Bob")), "here: Ada, Bob"),
        (happening("pong", latency_ms=1.25), "pong after 1.2 ms"),
        (happening("sent", data=b""), "binary, 0 bytes"),
        (happening("error", text="no"), "no"),
    ],
)
def test_each_happening_reads(shown: Happening, text: str) -> None:
    assert describe(shown) == text
