"""What a connection says first, read without taking it: whether it speaks TLS at all, and which name it asks for."""

import asyncio
import contextlib
import socket
import ssl
from typing import Final

from chappe.server.certificates import Certificates

#: A hello is one record, in general of a few hundred bytes.
_MAX_HELLO_BYTES: Final = 16_384 + 5
_HANDSHAKE_RECORD: Final = 0x16
HINT: Final = b"this port speaks HTTPS\n"
_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%s" % (len(HINT), HINT)
)


class NoTls(Exception):
    """The peer speaks something else, or is gone; it was told if it speaks HTTP."""


async def choose_context(
    loop: asyncio.AbstractEventLoop, connection: socket.socket, certificates: Certificates
) -> ssl.SSLContext:
    """Return the context that serves a connection; its bytes are still there to be read.

    Cancel it to limit the time; the connection is as it was.

    Raises:
        NoTls: the peer speaks something else, or is gone.
    """
    data = await _peek(loop, connection, 0)
    if not data:
        raise NoTls
    if data[0] != _HANDSHAKE_RECORD:
        if data[:1].isalpha() and data[:1].isupper():
            _tell(connection)
        raise NoTls
    if not certificates.is_many:
        return certificates.default
    while True:
        complete, name = _read_name(data)
        if complete:
            return certificates.find(name)
        more = await _peek(loop, connection, len(data))
        if len(more) <= len(data) or len(more) >= _MAX_HELLO_BYTES:
            raise NoTls
        data = more


async def _peek(loop: asyncio.AbstractEventLoop, connection: socket.socket, known: int) -> bytes:
    """Return what has come when it is more than the bytes known, or no more will come."""
    if known:
        # The socket is readable all the time: only more than that shall wake us.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, known + 1)
    try:
        while True:
            if known:
                await _readable(loop, connection)
            with contextlib.suppress(BlockingIOError, InterruptedError):
                return connection.recv(_MAX_HELLO_BYTES, socket.MSG_PEEK)
            await _readable(loop, connection)
    except ConnectionError:
        return b""
    finally:
        if known:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


async def _readable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    descriptor = connection.fileno()
    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _read_name(data: bytes) -> tuple[bool, str | None]:
    """Return whether the hello is complete, and the name it asks for.

    OpenSSL reads it, in a handshake that goes no further, with a context of its own: aiofastnet crashes on one that has
    such a callback.
    """
    incoming = ssl.MemoryBIO()
    incoming.write(data)
    reading = _READER.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
    try:
        reading.do_handshake()
    except ssl.SSLWantReadError:
        return False, None
    except ssl.SSLError:
        # Refused by us, or none that OpenSSL understands: the real handshake will say the same.
        pass
    return True, getattr(reading, "wanted_name", None)


def _refuse(reading: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int:
    reading.wanted_name = name  # type: ignore[union-attr]
    return ssl.ALERT_DESCRIPTION_USER_CANCELLED


_READER: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
_READER.sni_callback = _refuse


def _tell(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.send(_ANSWER)
        connection.shutdown(socket.SHUT_WR)
        # What is left unread makes the kernel reset the connection, and the answer with it.
        for _ in range(16):
            if not connection.recv(65_536):
                break
