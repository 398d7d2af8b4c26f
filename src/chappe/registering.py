"""Registering hooks and methods: the part of the public `Hub` by which an application adds to it."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from chappe.hub import hooks as hub_hooks
from chappe.hub.hub import HubCore
from chappe.model.errors import ConfigurationError
from chappe.transports.hook_pool import HookPool

F = TypeVar("F", bound=Callable[..., Any])


class Registering:
    """What an application registers; each method returns what it was given, so that it serves as a decorator."""

    _core: HubCore

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
