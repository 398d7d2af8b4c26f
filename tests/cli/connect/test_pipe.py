"""Without a terminal the conversation ends with its input and a silence, or with the server."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chappe.cli.connect.dialogue import Dialogue
from chappe.cli.connect.pipe import converse
from chappe.cli.connect.talk import RawTalk
from chappe.client.options import Settings

from .test_dialogue import Recorder


@contextmanager
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], int]]:
    """Put a pipe in place of standard input; give what writes to it. It is closed with the block."""
    from chappe.cli.connect import pipe
    from chappe.cli.connect.stdin import stdin_lines

    reader, writer = os.pipe()
    monkeypatch.setattr(pipe, "stdin_lines", lambda: stdin_lines(reader))
    try:
        yield lambda data: os.write(writer, data)
    finally:
        os.close(writer)


async def test_the_server_may_end_it_while_input_is_still_open(echo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for command, code in ((b"done\n", 0), (b"bye\n", 1)):
        with standard_input(monkeypatch) as write:
            write(command)
            dialogue = Dialogue(Settings(url=echo_url), RawTalk(), Recorder(), attempts=0)
            assert await converse(dialogue, wait_s=0) == code


async def test_the_end_of_input_and_a_silence_end_it(echo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    view = Recorder()
    with standard_input(monkeypatch) as write:
        write(b"one\ntwo")
    assert await converse(Dialogue(Settings(url=echo_url), RawTalk(), view, attempts=0), wait_s=0.1) == 0
    assert [happening.text for happening in view.shown if happening.kind == "received"] == ["one", "two"]


async def test_where_nobody_answers_no_input_is_read(free_port: int) -> None:
    dialogue = Dialogue(Settings(url=f"ws://127.0.0.1:{free_port}"), RawTalk(), Recorder(), attempts=0)
    assert await converse(dialogue, wait_s=0) == 1
