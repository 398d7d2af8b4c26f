"""Read the lines of standard input, whatever it is, without holding up the event loop or the end of the program."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator

#: Lines read ahead; then reading waits until the server took some.
LINES_AHEAD = 64
_CHUNK_BYTES = 65_536


async def stdin_lines(descriptor: int = 0) -> AsyncIterator[bytes]:
    """Yield each line without its end; a last line without an end counts.

    A daemon thread reads, since event loops cannot watch regular files and a thread of an executor would keep the
    program alive until the next line. Stop iterating at any time: at most `LINES_AHEAD` lines are lost.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = threading.Semaphore(LINES_AHEAD)
    leave = threading.Event()

    def put(line: bytes | None) -> bool:
        room.acquire()
        if leave.is_set():
            return False
        try:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        except RuntimeError:
            return False  # the loop is closed, and whoever wanted the line is gone
        return True

    def read() -> None:
        rest = b""
        while chunk := _read(descriptor):
            *whole, rest = (rest + chunk).split(b"\n")
            if not all(put(line.removesuffix(b"\r")) for line in whole):
                return
        if not rest or put(rest):
            put(None)

    threading.Thread(target=read, name="chappe stdin", daemon=True).start()
    try:
        while (line := await lines.get()) is not None:
            room.release()
            yield line
    finally:
        leave.set()
        room.release()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError:
        return b""  # closed under us: nothing more will come
