"""Registering hooks and methods: the part of the public `Hub` by which an application adds to it."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from chappe.auth.claims import check_subject
from chappe.hub import hooks as hub_hooks
from chappe.hub.contracts import Claims
from chappe.hub.hub import HubCore
from chappe.hub.mqtt import Exchange, MqttService
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, ConfigurationError
from chappe.transports.hook_pool import HookPool

F = TypeVar("F", bound=Callable[..., Any])


class MqttExchange:
    """A talk with one MQTT client about who it is; a method registered with `Hub.mqtt_auth` gets it.

    Attributes:
        answer: set it to send data along with the answer that lets the client in.
    """

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def data(self) -> bytes:
        """What the client sent to begin; empty: nothing."""
        return self._exchange.data

    @property
    def client_id(self) -> str:
        """The id of the client, or the one that it was given."""
        return self._exchange.client.client_id

    @property
    def user_name(self) -> str:
        """The user name of CONNECT, empty if there was none: it proves nothing, but must be the user's in the end."""
        return self._exchange.client.user_name

    @property
    def address(self) -> str:
        """IP address of the client."""
        return self._exchange.client.session.peer.address

    @property
    def is_again(self) -> bool:
        """Whether the client is connected already and authenticates again."""
        return self._exchange.is_again

    @property
    def answer(self) -> bytes | None:
        """Data for the answer that lets the client in; None: none."""
        return self._exchange.answer

    @answer.setter
    def answer(self, data: bytes | None) -> None:
        self._exchange.answer = data

    async def ask(self, data: bytes = b"") -> bytes:
        """Send data to the client and return what it answers.

        Raises:
            ChappeError: 108, the client left or the time is over.
            LocalProtocolError: another `ask` waits for an answer.
        """
        # An error is a result: a method that was cancelled takes none.
        came: asyncio.Future[bytes | ChappeError] = asyncio.get_running_loop().create_future()

        def done(found: bytes | None, error: ChappeError | None) -> None:
            if not came.done():
                came.set_result(found if found is not None else error or ChappeError(Code.NOT_AVAILABLE))

        self._exchange.ask(data, done)
        found = await came
        if isinstance(found, ChappeError):
            raise found
        return found


MqttMethod: TypeAlias = Callable[[MqttExchange], Awaitable[str | Claims]]


class Registering:
    """What an application registers; each method returns what it was given, so that it serves as a decorator."""

    _core: HubCore
    mqtt: MqttService

    def __init__(self, hook_threads: int) -> None:
        self._hook_threads = hook_threads
        self._pool: HookPool | None = None
        self._start_hooks: list[Callable[[], Any]] = []
        self._stop_hooks: list[Callable[[], Any]] = []

    def on_start(self, hook: F) -> F:
        """Call a function without arguments when the hub has started."""
        self._start_hooks.append(hook)
        return hook

    def on_stop(self, hook: F) -> F:
        """Call a function without arguments before the hub stops."""
        self._stop_hooks.append(hook)
        return hook

    def on_connect(self, hook: F | None = None, *, blocking: bool = False) -> Any:
        """Ask `hook(session)` before a session opens; `chappe.Refused(code, reason)` refuses it."""
        return self._register(hook, blocking, self._core.hooks.connect.append)

    def on_disconnect(self, hook: F | None = None, *, blocking: bool = False) -> Any:
        """Tell `hook(session, code)` that a session ended."""
        return self._register(hook, blocking, self._core.hooks.disconnect.append)

    def on_message(self, hook: F | None = None, *, blocking: bool = False) -> Any:
        """Show `hook(session, message)` every message of a client before it is understood: str, or bytes if binary."""
        return self._register(hook, blocking, self._core.hooks.message.append)

    def on_error(self, hook: F | None = None, *, blocking: bool = False) -> Any:
        """Tell `hook(error)` of exceptions that hooks and methods raised and nobody foresaw."""
        return self._register(hook, blocking, self._core.hooks.error.append)

    def on_operation(self, hook: F | None = None, *, blocking: bool = False) -> Any:
        """Carry out `hook(session, resource, operation)` for the holder of a lock (classic's `operation`)."""
        return self._register(hook, blocking, self._core.hooks.operation.append)

    def on_publish(self, pattern: str = "#", *, blocking: bool = False) -> Callable[[F], F]:
        """Ask `hook(session, publication)` before a client's publication is stored; `publication.data` may be set."""
        return self._register_for(pattern, blocking, self._core.hooks.add_publish)

    def on_subscribe(self, pattern: str = "#", *, blocking: bool = False) -> Callable[[F], F]:
        """Ask `hook(session, channel)` before a client is subscribed."""
        return self._register_for(pattern, blocking, self._core.hooks.add_subscribe)

    def rpc(self, method: str, *, blocking: bool = False) -> Callable[[F], F]:
        """Let clients call a function: `await client.call("add", a=1, b=2)` runs `add(session, a=1, b=2)`."""

        def register(function: F) -> F:
            if method in self._core.hooks.rpc:
                raise ConfigurationError(f"rpc method {method!r} is registered twice")
            self._core.hooks.rpc[method] = self._in_pool(function) if blocking else function
            return function

        return register

    def mqtt_auth(self, method: str) -> Callable[[MqttMethod], MqttMethod]:
        """Let MQTT 5 clients say who they are by an authentication method (MQTT 5, 4.12): SCRAM, Kerberos, a challenge.

        Of a client whose CONNECT names the method, `await function(exchange)` finds out who it is: it reads
        `exchange.data`, talks with the client by `await exchange.ask(data)` as often as it needs, and returns the user,
        or `Claims` with rights and an end. Whatever it raises refuses the client: `chappe.Refused` with 0x87, error 101
        with 0x86. A client that is connected may ask for it again; it must be the same user then, or is cut.

        It has `limits.handshake_timeout_s`. If the client leaves meanwhile, `ask` raises `ChappeError` 108.

        Raises:
            ConfigurationError: the method is registered already, or has no name.
        """

        def register(function: MqttMethod) -> MqttMethod:
            if not method or method in self.mqtt.methods:
                raise ConfigurationError(f"expected a new name for an MQTT authentication method, got {method!r}")

            async def run(exchange: Exchange) -> Claims:
                found = await function(MqttExchange(exchange))
                if isinstance(found, str):
                    found = Claims(user=found)
                if found.user is not None:
                    check_subject(found.user)
                return found

            self.mqtt.methods[method] = run
            return function

        return register

    # --- Inside ------------------------------------------------------------------------------------------------

    def _register(self, hook: F | None, blocking: bool, add: Callable[[hub_hooks.Hook], None]) -> Any:
        """Serve both `@hub.on_connect` and `@hub.on_connect(blocking=True)`."""

        def register(function: F) -> F:
            add(self._in_pool(function) if blocking else function)
            return function

        return register if hook is None else register(hook)

    def _register_for(
        self, pattern: str, blocking: bool, add: Callable[[str, hub_hooks.Hook], None]
    ) -> Callable[[F], F]:
        def register(function: F) -> F:
            add(pattern, self._in_pool(function) if blocking else function)
            return function

        return register

    def _in_pool(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> asyncio.Future[Any]:
            if self._pool is None:
                self._pool = HookPool(self._hook_threads)
            return self._pool.run(functools.partial(function, *arguments, **named))

        return run
