"""`rpc`: calls of the application's methods."""

from typing import Annotated, Any, Final

import msgspec

from chappe.api.commands import Asked, Call, Command, Told
from chappe.api.waiting import Waiting
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols.chappe.payloads import shape_problem
from chappe.protocols.validation import bad_request


class RpcRequest(Asked, frozen=True, kw_only=True):
    """Call a method of the application; it sees no session (None), since a backend has none."""

    method: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    params: Annotated[Any, msgspec.Meta(description="An object of named or an array of positional ones.")] = None


class RpcAnswer(Told, frozen=True, kw_only=True):
    """What the method returned."""

    result: Any


def rpc(call: Call, request: RpcRequest) -> Waiting[RpcAnswer]:
    """Call a method; answered when it is done."""
    hub = call.hub
    if problem := shape_problem(request.params, hub.limits.json_depth, hub.limits.json_keys):
        raise bad_request("params", problem)
    waiting: Waiting[RpcAnswer] = Waiting()

    def done(result: Any, error: ChappeError | None) -> None:
        if waiting.done():
            return
        if error is not None:
            waiting.set_result(error)
            return
        try:
            waiting.set_result(RpcAnswer(result=msgspec.Raw(msgspec.json.encode(result))))
        except (TypeError, ValueError, OverflowError, RecursionError) as wrong:
            hub.report(wrong, "a result cannot be encoded")
            waiting.set_result(ChappeError(Code.INTERNAL_ERROR))

    hub.calling.call(call.actor, request.method, request.params, done)
    return waiting


COMMANDS: Final = (Command("rpc", "Call a method of the application.", RpcRequest, RpcAnswer, rpc, audited="people"),)
