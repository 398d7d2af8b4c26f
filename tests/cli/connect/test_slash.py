"""A typed line is text unless it begins with one slash; a blank line is nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.cli.connect.slash import COMMANDS, Close, Do, Say, SendBinary, SendFile, Wrong, read


@pytest.mark.parametrize("line", ["", " ", "\t \n"])
def test_a_blank_line_is_nothing(line: str) -> None:
    assert read(line) is None


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("hello", Say("hello")),
        (" /help", Say(" /help")),
        ("//help", Say("/help")),
        ("/help", Do("help")),
        ("/quit", Do("quit")),
        ("/ping", Do("ping")),
        ("/open", Do("open")),
        ("/pretty", Do("pretty")),
        ("/binary 00 ff 7A", SendBinary(b"\x00\xffz")),
        ("/binary", SendBinary(b"")),
        ("/file  my file.txt ", SendFile("my file.txt")),
        ("/close", Close(1000, "")),
        ("/close 4001 see you", Close(4001, "see you")),
    ],
)
def test_a_line_means(line: str, meaning: object) -> None:
    assert read(line) == meaning


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/frob x", "no command /frob"),
        ("/binary xyz", "hexadecimal"),
        ("/file", "needs a path"),
        ("/close 999", "1000 or 3000 to 4999"),
        ("/close 1006", "1000 or 3000 to 4999"),
        ("/close x", "1000 or 3000 to 4999"),
        ("/close ²", "1000 or 3000 to 4999"),
        ("/close 1000 " + "é" * 62, "at most 123 bytes"),
    ],
)
def test_a_wrong_command_is_explained(line: str, told: str) -> None:
    meaning = read(line)
    assert isinstance(meaning, Wrong)
    assert told in meaning.text


def test_help_lists_what_is_understood() -> None:
    for name in COMMANDS:
        meaning = read(name.split(" ")[0])
        assert not (isinstance(meaning, Wrong) and "no command" in meaning.text)


@given(st.text())
def test_any_line_means_something_or_nothing(line: str) -> None:
    meaning = read(line)
    assert (meaning is None) == (not line.strip())
