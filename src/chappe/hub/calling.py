"""Calls of the application's methods, and of services behind the gateway."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chappe.hub.hooks import RpcMethod
from chappe.hub.permissions import Action, Actor
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore


class Calling:
    """Carries out `rpc`, `cancel` and service requests."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub

    def rpc(self, session: Session, command: base.Rpc) -> None:
        """Call a method; its result is the answer. Calls of one session overlap; each is answered when it is done.

        Raises:
            ChappeError: 103, 104 (no such method), 106 (`calls_in_flight`), 107 (params are neither object nor array),
                108 (streams).
        """
        hub = self._hub
        hub.permissions.authorize(session.actor, Action.RPC, command.method)
        if command.stream:
            raise ChappeError(Code.NOT_AVAILABLE, detail={"feature": "rpc streams"})
        method = self._find(command.method)
        positional, named = _arguments(command.params)
        if session.calls >= hub.limits.calls_in_flight:
            detail = {"limit": "calls_in_flight", "maximum": hub.limits.calls_in_flight}
            raise ChappeError(Code.LIMIT_EXCEEDED, detail=detail)
        session.calls += 1

        def done(result: Any, error: BaseException | None) -> None:
            session.calls -= 1
            if error is not None:
                session.send(session.failure(command.id, hub.as_rpc_error(error, command.method)))
                return
            try:
                session.send(base.Result(command.id, result))
            except (TypeError, ValueError, OverflowError) as wrong:
                hub.report(wrong, "a result cannot be encoded")
                session.send(session.failure(command.id, ChappeError(Code.INTERNAL_ERROR)))

        hub.hooks.call(method, (session.handle_of(), *positional), named, done)

    def call(self, actor: Actor, method: str, params: Any, done: Callable[[Any, ChappeError | None], None]) -> None:
        """Call a method for a backend: the method's `session` is None. `done` gets its result, or why there is none.

        Raises:
            ChappeError: 103, 104 (no such method), 107 (params are no object or array); then `done` is not called.
        """
        hub = self._hub
        hub.permissions.authorize(actor, Action.RPC, method)
        found = self._find(method)
        positional, named = _arguments(params)

        def called(result: Any, error: BaseException | None) -> None:
            done(result, None if error is None else hub.as_rpc_error(error, method))

        hub.hooks.call(found, (None, *positional), named, called)

    def cancel(self, session: Session, command: base.Cancel) -> None:
        """Streams of calls come with a later release; until then there is nothing to cancel.

        Raises:
            ChappeError: 108.
        """
        raise ChappeError(Code.NOT_AVAILABLE, detail={"feature": "cancel"})

    def service(self, session: Session, command: base.ServiceRequest) -> None:
        """Ask a service; the gateway comes with a later release.

        Raises:
            ChappeError: 121, or 122 if it is no service request; `detail` has the caller's requestId.
        """
        detail = {} if command.request_id is None else {"requestId": command.request_id}
        if not isinstance(command.service, str) or not isinstance(command.action, str):
            raise ChappeError(Code.BAD_SERVICE_REQUEST, detail=detail)
        self._hub.permissions.authorize(session.actor, Action.GATEWAY, command.service)
        raise ChappeError(Code.SERVICE_NOT_AVAILABLE, detail=detail)

    def _find(self, name: str) -> RpcMethod:
        method = self._hub.hooks.rpc.get(name)
        if method is None:
            detail = {"field": "method", "type": name[:64]}
            raise ChappeError(Code.UNKNOWN_COMMAND, f"unknown method {name[:64]!r}", detail=detail)
        return method


def _arguments(params: Any) -> tuple[list[Any], dict[str, Any]]:
    if params is None:
        return [], {}
    if isinstance(params, dict) and all(isinstance(name, str) for name in params):
        return [], params
    if isinstance(params, list):
        return params, {}
    raise ChappeError(Code.BAD_REQUEST, detail={"field": "params", "problem": "expected an object or an array"})
