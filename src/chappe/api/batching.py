"""`batch`: many commands in one request."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from chappe.api.bodies import named
from chappe.api.commands import EITHER, Asked, Call, Command, Told
from chappe.api.problems import Failure, failure_of
from chappe.api.waiting import ANSWER_TIMEOUT_S, Waiting, settled
from chappe.hub.permissions import Action
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

#: Commands of one batch.
MAX_COMMANDS: Final = 1_000


class BatchRequest(Asked, frozen=True, kw_only=True):
    """Carry out commands in order; each is the body of a command plus its name as `type`.

    Publishes overlap, so that a batch of them costs one wait for the broker; any other command waits until all before
    it are answered. A command that fails does not hold the others up.
    """

    commands: Annotated[
        list[msgspec.Raw],
        msgspec.Meta(max_length=MAX_COMMANDS, description='Such as `{"type": "publish", "channel": "a", "data": 1}`.'),
    ]


class BatchResult(Told, frozen=True, kw_only=True):
    """What became of one command: its answer, or the error."""

    result: Any = msgspec.UNSET
    error: Failure | msgspec.UnsetType = msgspec.UNSET


class BatchAnswer(Told, frozen=True, kw_only=True):
    """The results, in the order of the commands."""

    results: list[BatchResult]


class _Kind(msgspec.Struct, frozen=True):
    type: str


def batch_of(commands: Sequence[Command]) -> Command:
    """Return the command that carries out lists of these commands."""
    by_name = {command.name: command for command in commands}

    def batch(call: Call, request: BatchRequest) -> Coroutine[Any, Any, BatchAnswer]:
        return _run(by_name, call, request)

    return Command(
        "batch", "Carry out many commands in order.", BatchRequest, BatchAnswer, batch, EITHER, audited="never"
    )


async def _run(commands: Mapping[str, Command], call: Call, request: BatchRequest) -> BatchAnswer:
    """Carry out a batch.

    Raises:
        ChappeError: 103, the credential has no right here at all.
    """
    call.hub.permissions.authorize(call.actor, Action.INSPECT, "batch")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ANSWER_TIMEOUT_S
    results: list[Waiting[Any]] = []
    for raw in request.commands:
        waiting: Waiting[Any] = Waiting()
        results.append(waiting)
        try:
            command, asked = _decode(commands, bytes(raw))
            if not command.overlaps:
                await _all(results[:-1], deadline - loop.time())
            answer = command.carry_out(call.of(command), asked)
        except ChappeError as error:
            waiting.set_result(error)
            continue
        if isinstance(answer, Waiting):
            results[-1] = answer
        else:
            waiting.set_result(answer)
    return BatchAnswer(results=[await _result(call, waiting, deadline - loop.time()) for waiting in results])


def _decode(commands: Mapping[str, Command], text: bytes) -> tuple[Command, Any]:
    try:
        kind = msgspec.json.decode(text, type=_Kind).type
    except (msgspec.DecodeError, RecursionError) as error:
        raise named(error) from None
    command = commands.get(kind)
    if command is None:
        detail = {"field": "type", "type": kind[:64]}
        raise ChappeError(Code.UNKNOWN_COMMAND, f"unknown command {kind[:64]!r}", detail=detail)
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    del members["type"]
    try:
        return command, msgspec.json.decode(msgspec.json.encode(members), type=command.asked)
    except (msgspec.DecodeError, RecursionError) as error:
        raise named(error) from None


async def _all(waiting: list[Waiting[Any]], left_s: float) -> None:
    """Wait for answers.

    Raises:
        ChappeError: 108, the time of the batch is over.
    """
    pending = [each for each in waiting if not each.done()]
    if pending:
        _, late = await asyncio.wait(pending, timeout=max(left_s, 0.0))
        pending = list(late)
    if pending or left_s <= 0:
        raise ChappeError(Code.NOT_AVAILABLE, "the time of the batch was over before this command: not carried out")


async def _result(call: Call, waiting: Waiting[Any], left_s: float) -> BatchResult:
    try:
        return BatchResult(result=await settled(waiting, max(left_s, 0.0)))
    except ChappeError as error:
        call.hub.counters.count_error(error.code)
        return BatchResult(error=failure_of(error, call.language))
