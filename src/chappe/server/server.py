"""The server: one listener, uvicorn for HTTP, the front door for WebSocket, and an orderly end."""

import asyncio
import contextlib
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any, Final

import msgspec
import uvicorn

from chappe.hub.mqtt import MqttClient
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ConfigurationError
from chappe.server.certificates import Certificates, ClientCertificate, TlsFiles
from chappe.server.garbage import Garbage
from chappe.server.mqtt import MqttListening
from chappe.server.tls import Listening, listen_tls
from chappe.server.watchdog import Watchdog
from chappe.transports.front_door import FrontDoor
from chappe.transports.lobby import Lobby

#: Links told to come back later at once, so that a drain does not block the loop.
_SLICE: Final = 500
#: Clients are advised to come back within so many milliseconds, each at its own moment.
_SPREAD_MS: Final = 5_000
#: What HTTP requests that are being answered get to finish, seconds.
_REQUESTS_S: Final = 5


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a server runs.

    Attributes:
        drain_timeout_s: how long clients have to go once they are told to.
        watchdog_s: how long the loop may stand still before its stack is logged; 0: not watched.
        cert, key: PEM files; with both, TLS.
        extra_certs, client_ca, client_cert: see `TlsFiles`.
        handle_signals: end at SIGTERM and SIGINT; False where the process belongs to somebody else.
    """

    drain_timeout_s: float = 20.0
    watchdog_s: float = 10.0
    cert: str = ""
    key: str = ""
    extra_certs: tuple[str, ...] = ()
    client_ca: str = ""
    client_cert: ClientCertificate = "none"
    handle_signals: bool = True


class HubServer(uvicorn.Server):
    """One listener with everything behind it.

    Signals: the first SIGTERM or SIGINT drains, the second ends at once.
    """

    def __init__(
        self,
        app: Any,
        lobby: Lobby,
        options: ServerOptions,
        bind: Callable[[], socket.socket],
        started: Callable[[], None] | None = None,
        mqtt: MqttListening | None = None,
    ) -> None:
        """Take the parts.

        Args:
            app: the ASGI app for HTTP.
            lobby: what WebSocket connections share.
            bind: returns the listening socket; called when signals are handled already, so that who can connect can
                also be drained.
            started: called when connections are accepted.
            mqtt: the ports of MQTT; None: there are none.
        """
        self._mqtt = mqtt
        self._lobby = lobby
        self._options = options
        self._bind = bind
        self._started = started
        self._watchdog = Watchdog(options.watchdog_s)
        self._garbage = Garbage()
        self._drain_until: float | None = None
        self._certificates: Certificates | None = None
        self._watching: asyncio.Task[None] | None = None
        super().__init__(_uvicorn_config(app, lobby))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections.

        Raises:
            ConfigurationError: the address cannot be listened on, or a certificate cannot be used.
        """
        if self._options.cert:
            self._certificates = Certificates(_tls_files(self._options))
        listener = self._bind()
        if self._mqtt is not None:
            try:
                self._mqtt.bind(self._certificates is not None)
            except ConfigurationError:
                listener.close()
                raise
        self._lobby.start()
        self._watchdog.start()
        if self._certificates is not None:
            await super().startup([])
            # uvicorn asks no more of a server than to close, and when it has.
            self.servers.append(await self._listen_tls(listener, self._certificates))  # type: ignore[arg-type]
            self._watching = asyncio.create_task(self._certificates.watch())
        else:
            await super().startup([listener])
        if self._mqtt is not None:
            self.servers += await self._mqtt.start(self._lobby, self._certificates)  # type: ignore[arg-type]
        if self._options.handle_signals:
            # Elsewhere the collector is somebody else's.
            self._garbage.settle()
        if self._started is not None:
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, tell every client to come back later, wait for them in bounded time, end HTTP."""
        self._lobby.draining = True
        if self._watching is not None:
            self._watching.cancel()
        self._drain_until = asyncio.get_running_loop().time() + self._options.drain_timeout_s
        for server in self.servers:
            server.close()
        for transport in tuple(self._lobby.waiting):
            # Its turn does not come any more.
            transport.abort()
        await self._drain()
        await super().shutdown()
        await self._cut_connections()
        self._lobby.stop()
        self._watchdog.stop()
        self._garbage.restore()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Listen to signals, if this process is ours."""
        if not self._options.handle_signals:
            yield
            return
        with super().capture_signals(), self._reload_at_hangup():
            yield

    @contextlib.contextmanager
    def _reload_at_hangup(self) -> Generator[None, None, None]:
        """Read the certificates again at SIGHUP, which would end the process otherwise."""
        if not hasattr(signal, "SIGHUP") or threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    def _reload(self) -> None:
        if self._certificates is not None:
            self._certificates.reload()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take a signal; the second one does not wait."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    @property
    def watchdog_alarms(self) -> int:
        """How often the loop stood still for too long."""
        return self._watchdog.blocked

    @property
    def drain_left_s(self) -> float:
        """What is left of `drain_timeout_s`, in seconds; all of it before the drain."""
        if self._drain_until is None:
            return self._options.drain_timeout_s
        return max(0.0, self._drain_until - asyncio.get_running_loop().time())

    async def _listen_tls(self, listener: socket.socket, certificates: Certificates) -> Listening:
        def make_protocol() -> asyncio.Protocol:
            door: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return door

        return await listen_tls(listener, certificates, make_protocol, self._lobby.admission, self._lobby.proxies)

    async def _drain(self) -> None:
        if self._lobby.http_sessions is not None:
            self._lobby.http_sessions.shutdown()
        for session in tuple(self._lobby.streams):
            # Of those that are ASGI's uvicorn would wait for the end of the body.
            session.close(Code.SHUTDOWN)
        links = list(self._lobby.links)
        for index, link in enumerate(links):
            advice_ms = secrets.randbelow(_SPREAD_MS)
            reason = f"the hub is shutting down; reconnect after {advice_ms} ms"
            receiver = link.receiver
            if isinstance(receiver, MqttClient):
                receiver.session.close(Code.SHUTDOWN, reason)
            elif isinstance(receiver, Session):
                receiver.close(Code.SHUTDOWN, reason)
            else:
                link.close(Code.SHUTDOWN, reason)
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        deadline = asyncio.get_running_loop().time() + self._options.drain_timeout_s
        while self._lobby.links and not self.force_exit and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # as uvicorn itself waits: a drain has no event that a signal can end
        for link in list(self._lobby.links):
            link.abort()

    async def _cut_connections(self) -> None:
        """Cut what HTTP has left: a peer that does not read its answer would keep the loop from closing for ever."""
        for connection in tuple(self.server_state.connections):
            transport = connection.transport
            if transport is not None:
                transport.abort()
        # Transports tell their end in the next turn.
        await asyncio.sleep(0)


def _tls_files(options: ServerOptions) -> TlsFiles:
    return TlsFiles(
        cert=options.cert,
        key=options.key,
        extra_certs=options.extra_certs,
        client_ca=options.client_ca,
        client_cert=options.client_cert,
    )


def _uvicorn_config(app: Any, lobby: Lobby) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=FrontDoor.bind(lobby),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # Ours is the only resolver of client addresses (architecture, "The front door").
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_REQUESTS_S,
        backlog=4_096,
    )
