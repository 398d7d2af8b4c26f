"""TLS listeners: through aiofastnet, whose TLS is several times as fast as the event loop's own."""

import asyncio
import contextlib
import errno
import logging
import math
import socket
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, Protocol

from chappe.server.certificates import Certificates
from chappe.server.hello import NoTls, choose_context
from chappe.transports.admission import Admission
from chappe.transports.proxies import Proxies

_log = logging.getLogger("chappe.server")

#: What a handshake may take, and a goodbye in TLS, seconds.
HANDSHAKE_TIMEOUT_S: Final = 10.0
SHUTDOWN_TIMEOUT_S: Final = 5.0
#: Buffers of a connection on its way in and out of OpenSSL: one full record each, not aiofastnet's sixteen.
_BUFFER_BYTES: Final = 16_384 + 512
#: Connections accepted in one turn of the loop: each costs a handshake, a millisecond of the processor.
_ACCEPTED_AT_ONCE: Final = 16
#: Before accepting again when descriptors have run out, seconds.
_PAUSE_S: Final = 0.5
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

MakeProtocol = Callable[[], asyncio.Protocol]


class Listening(Protocol):
    """What a server does with its listener."""

    def close(self) -> None:
        """Accept no more."""

    async def wait_closed(self) -> None:
        """Wait until that is so."""


async def listen_tls(
    listener: socket.socket,
    certificates: Certificates,
    make_protocol: MakeProtocol,
    admission: Admission,
    proxies: Proxies,
) -> Listening:
    """Accept TLS connections on a listening socket; `make_protocol` is asked for each."""
    loop = asyncio.get_running_loop()
    if find_spec("aiofastnet") is None:
        # A system for which there is no wheel of it, and no compiler.
        return await loop.create_server(
            make_protocol,
            sock=listener,
            ssl=_renewing(certificates),
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
    return TlsListener(loop, listener, certificates, make_protocol, admission, proxies)


def _renewing(certificates: Certificates) -> ssl.SSLContext:
    """Return a context for the event loop's own TLS, which keeps one: each handshake gets another in its place."""
    context = certificates.make_default()

    def renew(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = certificates.find(name)

    context.sni_callback = renew
    return context


class TlsListener:
    """Accepts connections and shakes hands; behind that they are the protocol's.

    An address may shake as many hands at once as it may have connections: before the handshake nobody else counts them.

    Attributes:
        besieged: connections cut because their address has too many handshakes going on.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        certificates: Certificates,
        make_protocol: MakeProtocol,
        admission: Admission,
        proxies: Proxies,
    ) -> None:
        """Begin to accept."""
        self._loop = loop
        self._listener = listener
        self._certificates = certificates
        self._make_protocol = make_protocol
        self._admission = admission
        admission.paces_handshakes = True
        self._proxies = proxies
        self._handshakes: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False
        self.besieged = 0
        self._next_handler = loop.get_exception_handler()
        loop.set_exception_handler(self._report)
        self._listen()

    def close(self) -> None:
        """Accept no more, and end the handshakes that go on."""
        if self._closed:
            return
        self._closed = True
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for handshake in self._handshakes:
            handshake.cancel()

    async def wait_closed(self) -> None:
        """Wait until no handshake goes on; connections are waited for by who serves them."""
        if self._handshakes:
            await asyncio.wait(tuple(self._handshakes))
        if self._loop.get_exception_handler() == self._report:
            self._loop.set_exception_handler(self._next_handler)

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Hear what goes wrong on the loop: a peer that breaks its handshake off is no error of ours.

        aiofastnet reports it with a traceback, so that anybody who can connect could fill the log.
        """
        if context.get("message") == "SSL handshake failed":
            _log.debug("a TLS handshake failed: %r", context.get("exception"))
        elif self._next_handler is not None:
            self._next_handler(loop, context)
        else:
            loop.default_exception_handler(context)

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                # It stays readable: asking again at once would spin.
                _log.error("cannot accept connections: %s", error.strerror)
                self._loop.remove_reader(self._listener.fileno())
                self._pause = self._loop.call_later(_PAUSE_S, self._listen)
                return
            self._begin(connection, address[0] if isinstance(address, tuple) else "")

    def _begin(self, connection: socket.socket, address: str) -> None:
        seat, wait_s = None, 0.0
        if address and not self._proxies.trusts(address):
            if self._admission.is_swarming(address):
                self.besieged += 1
                connection.close()
                return
            wait_s = self._admission.turn_of(address)
            if wait_s == math.inf:
                connection.close()
                return
            seat = self._admission.handshakes.take(address)
        handshake = self._loop.create_task(self._shake_hands(connection, seat, wait_s))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: socket.socket, seat: str | None, wait_s: float) -> None:
        import aiofastnet

        options: dict[str, Any] = {
            "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S,
            "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT_S,
            "ssl_incoming_bio_size": _BUFFER_BYTES,
            "ssl_outgoing_bio_size": _BUFFER_BYTES,
        }
        try:
            connection.setblocking(False)
            if wait_s:
                await asyncio.sleep(wait_s)
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                context = await choose_context(self._loop, connection, self._certificates)
            # Who goes in between: nobody is left to be told.
            with contextlib.suppress(OSError):
                await aiofastnet.connect_accepted_socket(
                    self._loop, self._make_protocol, connection, ssl=context, **options
                )
        except (NoTls, TimeoutError, asyncio.CancelledError):
            connection.close()
        finally:
            if seat is not None:
                self._admission.handshakes.give_back(seat)
