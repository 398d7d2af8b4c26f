"""The public `Hub`, and `Session` with it: what applications import."""

import asyncio
import contextlib
import functools
import importlib.metadata
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chappe.api import ApiContext, Forwarding, PageContext, answer_nodes, build_api, build_events, build_polling
from chappe.asgi import HubApp
from chappe.audit import AuditLog
from chappe.auth.api_keys import ApiKeys
from chappe.auth.asking import ask_webhook
from chappe.auth.passwords import Passwords
from chappe.config import (
    Settings,
    load,
    make_authenticator,
    make_authorizer,
    make_bridges,
    make_broker,
    make_reader,
)
from chappe.config.checking import log_problems
from chappe.console import build_console
from chappe.hub.contracts import Broker
from chappe.hub.hub import HubCore, HubOptions
from chappe.hub.mqtt import MqttService
from chappe.hub.namespaces import Namespace, Namespaces
from chappe.model.errors import ConfigurationError, LocalProtocolError
from chappe.publishing import Publishing
from chappe.registering import Registering
from chappe.session import Session
from chappe.telemetry import labelled
from chappe.transports.admission import Admission
from chappe.transports.data_plane import choose
from chappe.transports.endpoints import Endpoints
from chappe.transports.event_loop import LoopClock, Tasks
from chappe.transports.http_sessions import HttpSessions
from chappe.transports.lobby import Lobby, audience_maker
from chappe.transports.overload import Overload
from chappe.transports.proxies import Proxies
from chappe.transports.upgrade import Gate, host_names

#: The built web pages, in the installed package.
STATIC_DIR: Final = Path(__file__).parent / "console" / "static"
_LEVELS: Final = {"ERROR": logging.ERROR, "WARNING": logging.WARNING, "INFO": logging.INFO, "DEBUG": logging.DEBUG}
#: What the broker gets to stop, seconds, even if the hooks took all the time there was.
_BROKER_STOP_S: Final = 5.0
_log = logging.getLogger("chappe.session")

__all__ = ["Hub", "Session"]


class Hub(Registering, Publishing):
    """A realtime hub.

    Everything is called on the event loop that `start` ran on. Hooks may be plain functions, which run inside the way
    of the message and must not block; coroutine functions, which hold only their own session; or, with
    `blocking=True`, functions that run in a pool of `limits.hook_threads` threads.
    """

    def __init__(
        self,
        *,
        namespaces: Iterable[Namespace] | None = None,
        broker: str | Broker | None = None,
        anonymous: bool | None = None,
        dev: bool = False,
        settings: Settings | None = None,
    ) -> None:
        """Put a hub together; nothing is started or connected yet.

        Args:
            namespaces: in place of those of the settings.
            broker: URL of the broker, such as `memory://`, or a broker of your own, not started yet.
            anonymous: whether sessions without a token are let in.
            dev: open everything to everybody on this machine, as `chappe serve --dev`.
            settings: what `chappe.toml` says, already loaded.
        Raises:
            ConfigurationError: the settings cannot be used; the text names the setting.
        """
        if settings is None:
            settings = load(os.devnull, flags={"server.dev": True} if dev else None).settings
        Registering.__init__(self, settings.limits.hook_threads)
        Publishing.__init__(self)
        self.settings = settings
        self._clock = LoopClock()
        self._tasks = Tasks()
        self._starting: asyncio.Task[None] | None = None
        self._stopped = False
        if broker is None or isinstance(broker, str):
            broker = make_broker(broker or settings.broker.url, self._clock, os.urandom)
        self._broker = broker
        self._authenticator = make_authenticator(settings, self._clock)
        self._reader = make_reader(settings)
        node = secrets.token_hex(4)
        self._audit = _make_audit(settings, node)
        self._core = HubCore(self._hub_options(namespaces, anonymous, node))
        self._core.make_handle = Session
        self._make_carriers()
        self._authorizer = make_authorizer(settings)
        self._hook_up()

    def _make_carriers(self) -> None:
        """Make what sessions come by: MQTT, WebSocket, requests; and the way to those of other nodes."""
        settings = self.settings
        hashes = {user: each.password_hash for user, each in settings.users.items() if each.password_hash}
        passwords = Passwords(hashes, self._clock) if hashes else None
        self.mqtt = MqttService(self._core, settings.mqtt.options(), passwords)
        self.mqtt.system.traffic = self._traffic
        server, cluster = settings.server, self._core.cluster
        self._endpoints = Endpoints(self._core, server.root_protocol, server.default_language, self._reader, self.mqtt)
        self._proxies = Proxies(settings.server.trusted_proxies)
        self._admission = Admission.of(self._core, settings.server.connections_max)
        self._overload = Overload(self._admission, self._core.limits, settings.server.workers)
        self._http_sessions = HttpSessions(self._core, self._admission, settings.poll.options())
        self._forwarding = Forwarding(self._core, cluster, self._http_sessions) if cluster else None
        if cluster:
            answer_nodes(self._core, cluster)
        self._lobbies: list[Lobby] = []

    def _hook_up(self) -> None:
        """Let what has to run start and stop with the hub, and look at messages if that is wanted."""
        self._start_hooks.append(self.mqtt.system.start)
        self._stop_hooks += [self.mqtt.system.stop, self.mqtt.groups.stop]
        if self.settings.log.payloads:
            self._core.hooks.message.append(_log_payload)
        if self._authenticator is not None:
            self._start_hooks.append(self._authenticator.start)
            self._stop_hooks.append(self._authenticator.stop)
        if self._authorizer is not None:
            ask_webhook(self._core, self._authorizer)
            self._stop_hooks.append(self._authorizer.stop)
        for bridge in make_bridges(self.settings, self._core):
            self._start_hooks.append(bridge.start)
            self._stop_hooks.append(bridge.stop)

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> "Hub":
        """Return a hub with the settings of a `chappe.toml`, the environment (by default this process's) and flags.

        Raises:
            ConfigurationError: a setting is unknown or wrong; the text says where and what was expected.
        """
        loaded = load(path, os.environ if environ is None else environ, flags)
        hub = cls(settings=loaded.settings)
        hub.on_start(functools.partial(log_problems, loaded.settings))
        return hub

    # --- Looking -----------------------------------------------------------------------------------------------------

    @property
    def sessions(self) -> list[Session]:
        """The sessions that are connected now."""
        return [session.handle_of() for session in self._core.sessions.values()]

    @property
    def core(self) -> HubCore:
        """The domain below, for transports and tests; not part of the stable interface."""
        return self._core

    # --- Running -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the broker and call the start hooks; safe to call again, and from several tasks at once.

        Raises:
            LocalProtocolError: the hub runs on another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._starting is not None and self._starting.get_loop() is not loop:
            await self._leave(self._starting.get_loop())
        if self._starting is None:
            self._stopped = False
            self._starting = loop.create_task(self._start())
        starting = self._starting
        if starting.done() and not starting.cancelled() and starting.exception() is None:
            return
        try:
            await asyncio.shield(starting)
        except BaseException:
            if self._starting is starting and starting.done():
                self._starting = None
            raise

    async def stop(self) -> None:
        """End all sessions (3001), call the stop hooks, stop the broker; safe to call again.

        Takes at most `drain_timeout_s`, and what the broker needs. Stop hooks that fail are told to `on_error`.
        """
        await self._stop_within(self.settings.server.drain_timeout_s)

    def asgi(self) -> HubApp:
        """Return this hub as an ASGI app, to be mounted or run under any ASGI server.

        ``FastAPI(lifespan=hub.lifespan).mount("/realtime", hub.asgi())``

        It answers the hosts of `server.allowed_hosts`, any if there are none: the outer server has its own list.
        """
        server = self.settings.server
        return self.make_app(Gate(hosts=host_names(server.allowed_hosts), origins=frozenset(server.allowed_origins)))

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Start and stop the hub around an outer application's life."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    def open_lobby(self, gate: Gate) -> Lobby:
        """Return what a server's connections share; used by `Server`, which closes it with `close_lobby`."""
        server = self.settings.server
        lobby = Lobby(
            self._core,
            self._endpoints,
            gate,
            proxies=self._proxies,
            default_language=server.default_language,
            head_bytes=server.head_bytes,
            head_timeout_s=server.head_timeout_s,
            compression=server.compression == "deflate",
            compression_min_bytes=server.compression_min_bytes,
            admission=self._admission,
            batch_window_s=server.batch_window_ms / 1_000,
            data_plane=choose(server.data_plane, tls=bool(server.cert)),
            http_sessions=self._http_sessions,
        )
        self._lobbies.append(lobby)
        return lobby

    async def close_lobby(self, lobby: Lobby, stop_hub: bool, timeout_s: float) -> None:
        """Forget what a server's connections shared; stop the hub if asked and no other server is there."""
        self._lobbies.remove(lobby)
        if stop_hub and not self._lobbies:
            await self._stop_within(timeout_s)

    @property
    def is_started(self) -> bool:
        """Whether `start` was called, and `stop` not since."""
        return self._starting is not None

    def make_app(self, gate: Gate) -> HubApp:
        """Return the ASGI app behind a gate; used by `Server`."""
        settings = self.settings
        context = ApiContext(
            hub=self._core,
            api_open=settings.api.insecure_open,
            api_keys=ApiKeys.load(settings.api.keys_file) if settings.api.keys_file else None,
            readiness=self._readiness,
            metrics=self._metrics,
            version=self._core.version,
            node=self._core.node,
            default_language=settings.server.default_language,
            reader=self._reader,
            proxies=self._proxies,
        )
        page = PageContext(gate, self._proxies, self._admission, self._reader)
        routes = [
            *build_events(context, page, self._http_sessions, settings.sse.default_channels),
            *build_api(context, page),
            *build_console(STATIC_DIR),
        ]
        return HubApp(
            self._core,
            self._endpoints,
            gate,
            routes,
            self.start,
            self.stop,
            settings.server.default_language,
            self._proxies,
            self._admission,
            lambda: self._stopped,
            build_polling(context, page, self._http_sessions, self._forwarding),
        )

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _hub_options(self, namespaces: Iterable[Namespace] | None, anonymous: bool | None, node: str) -> HubOptions:
        """Return what the domain is made of; arguments are over the settings."""
        settings = self.settings
        return HubOptions(
            broker=self._broker,
            clock=self._clock,
            random=os.urandom,
            spawn=self._tasks.spawn,
            log=_write_log,
            limits=settings.limits.limits(),
            namespaces=Namespaces(settings.hub_namespaces() if namespaces is None else namespaces),
            anonymous=settings.auth.anonymous if anonymous is None else anonymous,
            authenticator=self._authenticator,
            reserved_names=tuple(settings.users),
            version=importlib.metadata.version("chappe"),
            node=node,
            audit=self._audit.write if self._audit is not None else None,
            make_audience=audience_maker(),
        )

    async def _start(self) -> None:
        self._begin_audit()
        await self._broker.start(self._core.delivery)
        if self._core.cluster is not None:
            self._core.cluster.start()
        taken_up = asyncio.Event()
        # Sessions that outlived an earlier hub are here before their clients can connect.
        self.mqtt.sessions.start(taken_up.set)
        await taken_up.wait()
        self._overload.start()
        try:
            for hook in self._start_hooks:
                await _call(hook)
        except BaseException:
            if self._forwarding is not None:
                await self._forwarding.stop()
            if self._core.cluster is not None:
                self._core.cluster.stop()
            self._overload.stop()
            await self._broker.stop()
            raise

    def _begin_audit(self) -> None:
        """Note that the hub starts, and with which settings.

        Raises:
            ConfigurationError: the file cannot be written: what is to be audited must not happen unseen.
        """
        if self._audit is None:
            return
        try:
            self._audit.open()
        except OSError as error:
            reason = f"log.audit_file {self.settings.log.audit_file!r} cannot be written: {error.strerror}"
            raise ConfigurationError(reason) from None
        self._audit.write("start", {"version": self._core.version, "settings": msgspec.to_builtins(self.settings)})

    async def _leave(self, old: asyncio.AbstractEventLoop) -> None:
        """Forget an event loop that ended without `stop`, with the connections that it had."""
        if not old.is_closed():
            raise LocalProtocolError("the hub runs on another event loop; stop it there first")
        self._starting = None
        for session in tuple(self._core.sessions.values()):
            session.lost(1006)
        self._http_sessions.forget()
        self._tasks.forget()
        await self._broker.stop()

    async def _stop_within(self, timeout_s: float) -> None:
        if self._starting is None:
            return
        starting, self._starting = self._starting, None
        self._stopped = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        try:
            if not starting.done():
                starting.cancel()
                await asyncio.wait((starting,), timeout=timeout_s)
            self._core.shutdown(tuple(self._core.sessions.values()))
            if self._core.cluster is not None:
                self._core.cluster.stop()
            for hook in self._stop_hooks:
                await self._call_stop_hook(hook, deadline)
            await self._tasks.stop(max(0.0, deadline - loop.time()))
        finally:
            self._overload.stop()
            if self._pool is not None:
                self._pool.stop()
                self._pool = None
            if self._audit is not None:
                self._audit.write("stop", {})
                self._audit.close()
            async with asyncio.timeout(max(_BROKER_STOP_S, deadline - loop.time())):
                await self._broker.stop()

    async def _call_stop_hook(self, hook: Callable[[], Any], deadline: float) -> None:
        """Call a hook; whether it fails or takes too long, the next ones and the broker have their turn."""
        try:
            async with asyncio.timeout_at(deadline):
                await _call(hook)
        except Exception as error:
            self._core.report(error, "a stop hook failed")

    def _readiness(self) -> dict[str, str]:
        """Return why the hub is not ready, by part; empty: it is."""
        if self._starting is None or not self._starting.done():
            return {"hub": "not started"}
        if any(lobby.draining for lobby in self._lobbies):
            return {"hub": "draining"}
        return {}

    def _traffic(self) -> dict[str, float]:
        """Return what all connections of this hub's own servers carried, by the names that `$SYS` has for it."""
        counters = [lobby.counters for lobby in self._lobbies]
        return {
            "messages/sent": sum(each.messages_out for each in counters),
            "bytes/received": sum(each.bytes_in for each in counters),
            "bytes/sent": sum(each.bytes_out for each in counters),
        }

    def _metrics(self) -> dict[str, float]:
        metrics: dict[str, float] = {
            "chappe_sessions": len(self._core.sessions),
            "chappe_channels": len(self._core.channels),
            **self._http_sessions.metrics(),
            **self._core.authentication.tickets.metrics(),
            **self._overload.metrics(),
            **self.mqtt.metrics(),
        }
        metrics["chappe_connections_delayed_total"] = self._admission.delayed
        for why, refused in self._admission.refused.items():
            metrics[labelled("chappe_connections_refused_total", reason=why)] = refused
        for part in (self._authenticator, self._authorizer, self._audit):
            if part is not None:
                metrics |= part.metrics()
        if self._core.cluster is not None:
            metrics |= self._core.cluster.metrics()
        if self._forwarding is not None:
            metrics |= self._forwarding.metrics()
        for lobby in self._lobbies:
            for name, count in lobby.metrics().items():
                metrics[name] = metrics.get(name, 0) + count
        return metrics


def _make_audit(settings: Settings, node: str) -> AuditLog | None:
    log = settings.log
    if not log.audit_file:
        return None
    return AuditLog(log.audit_file, log.audit_bytes, log.audit_files, node=node, process=os.getpid())


def _write_log(level: str, message: str, *values: object) -> None:
    _log.log(_LEVELS[level], message, *values)


def _log_payload(session: Session, message: str | bytes) -> None:
    """Log what clients say (`log.payloads`); tokens in it are redacted by the log's own formatter."""
    _log.debug("< session %s: %s", session.id, message)


async def _call(hook: Callable[[], Any]) -> None:
    answer = hook()
    if answer is not None and hasattr(answer, "__await__"):
        await answer
