"""Standard input is read line by line, whatever it is, and never keeps the program."""

import asyncio
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.cli.connect.stdin import LINES_AHEAD, stdin_lines


async def read_all(descriptor: int) -> list[bytes]:
    return [line async for line in stdin_lines(descriptor)]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\n\nb", [b"a", b"", b"b"]),
        (b"\xff\x00\n", [b"\xff\x00"]),
        (b"x" * 200_000 + b"\ny", [b"x" * 200_000, b"y"]),
    ],
)
async def test_a_file_is_read_to_its_end(tmp_path: Path, content: bytes, lines: list[bytes]) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert await read_all(descriptor) == lines
    finally:
        os.close(descriptor)


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), max_size=200))
async def test_any_lines_come_in_order_and_whole(lines: list[bytes]) -> None:
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(b"".join(line + b"\n" for line in lines))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert await read_all(reader) == lines
    finally:
        thread.join()
        os.close(reader)


async def test_reading_ahead_is_bounded() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x\n" * 1_000)
    lines = stdin_lines(reader)
    assert await anext(lines) == b"x"
    await asyncio.sleep(0.05)
    os.close(writer)
    assert sum([1 async for _ in lines]) == 999
    assert LINES_AHEAD < 1_000
    os.close(reader)
