"""`publish` and `broadcast`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from chappe.api.commands import Asked, Call, Channel, Command, Told
from chappe.api.problems import Failure, failure_of
from chappe.api.waiting import Waiting
from chappe.hub.contracts import Outcome
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.json_shape import json_problem
from chappe.model.position import Position
from chappe.model.publication import Kind
from chappe.protocols import base
from chappe.protocols.chappe import from_base64
from chappe.protocols.validation import bad_request

#: Channels of one broadcast.
_MAX_CHANNELS: Final = 1_000
#: Characters of all headers of a publication, which every subscriber gets: as much as proxies allow for a request.
_HEADER_CHARACTERS: Final = 8_192

Data: TypeAlias = Annotated[
    msgspec.Raw,
    msgspec.Meta(description='Any JSON value; `{"$base64": "AP8B"}` publishes these bytes.'),
]
Id: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=128,
        description="Idempotency key: within 5 minutes the same id has the same answer and nothing is stored twice.",
    ),
]
Headers: TypeAlias = Annotated[dict[str, str], msgspec.Meta(max_length=64, description="Given to subscribers as is.")]
Offset: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Expect: TypeAlias = Annotated[
    Offset | Position | None,
    msgspec.Meta(description="Store only if this is the channel's last offset, or position; otherwise error 114."),
]
Retain: TypeAlias = Annotated[bool, msgspec.Meta(description="Also set the channel's retained slot.")]


class PublishRequest(Asked, frozen=True, kw_only=True):
    """Publish to a channel."""

    channel: Channel
    data: Data
    id: Id | None = None
    headers: Headers | None = None
    expect: Expect = None
    retain: Retain = False


class Published(Told, frozen=True, kw_only=True):
    """Where a publication is stored; offset 0 for what is not kept."""

    offset: int
    epoch: str


class BroadcastRequest(Asked, frozen=True, kw_only=True):
    """Publish the same to many channels."""

    channels: Annotated[list[str], msgspec.Meta(min_length=1, max_length=_MAX_CHANNELS)]
    data: Data
    id: Id | None = None
    headers: Headers | None = None
    retain: Retain = False


class BroadcastResult(Told, frozen=True, kw_only=True):
    """What became of one channel's publication: where it is stored, or the error."""

    channel: str
    offset: int | msgspec.UnsetType = msgspec.UNSET
    epoch: str | msgspec.UnsetType = msgspec.UNSET
    error: Failure | msgspec.UnsetType = msgspec.UNSET


class BroadcastAnswer(Told, frozen=True, kw_only=True):
    """The results, in the order of the channels."""

    results: list[BroadcastResult]


def publish(call: Call, request: PublishRequest) -> Waiting[Published]:
    """Publish; answered when the broker has it."""
    payload, kind = _payload(call, request.data, request.headers)
    command = base.Publish(
        0, request.channel, payload, kind, request.id, request.expect, request.retain, request.headers
    )
    waiting: Waiting[Published] = Waiting()
    call.hub.publish(call.actor, command, waiting.take(_published))
    return waiting


def broadcast(call: Call, request: BroadcastRequest) -> Waiting[BroadcastAnswer]:
    """Publish to each channel; one that fails does not hold the others up."""
    payload, kind = _payload(call, request.data, request.headers)
    waiting: Waiting[BroadcastAnswer] = Waiting()
    results: list[BroadcastResult | None] = [None] * len(request.channels)
    missing = len(results)

    def store(index: int, channel: str) -> None:
        def done(outcome: Outcome | None, error: ChappeError | None) -> None:
            nonlocal missing
            results[index] = _result(call, channel, outcome, error)
            missing -= 1
            if not missing and not waiting.done():
                waiting.set_result(BroadcastAnswer(results=[result for result in results if result is not None]))

        command = base.Publish(0, channel, payload, kind, request.id, None, request.retain, request.headers)
        try:
            call.hub.publish(call.actor, command, done)
        except ChappeError as error:
            done(None, error)

    for index, channel in enumerate(request.channels):
        store(index, channel)
    return waiting


def _payload(call: Call, data: msgspec.Raw, headers: Mapping[str, str] | None) -> tuple[bytes, Kind]:
    """Return what to store.

    Raises:
        ChappeError: 107, `data` cannot be carried; 113, the headers are too large.
    """
    limits = call.hub.limits
    text = bytes(data)
    try:
        payload, kind = from_base64(text)
    except (msgspec.DecodeError, ValueError) as error:
        raise bad_request("data", str(error)) from None
    if kind is Kind.JSON and (problem := json_problem(payload, limits.json_depth, limits.json_keys)):
        raise bad_request("data", problem)
    size = sum(len(name) + len(value) for name, value in headers.items()) if headers else 0
    if size > _HEADER_CHARACTERS:
        text_ = f"headers of {size} characters, expected {_HEADER_CHARACTERS} or fewer"
        raise ChappeError(Code.MESSAGE_TOO_LARGE, text_, detail={"limit": _HEADER_CHARACTERS, "size": size})
    return payload, kind


def _published(outcome: Any) -> Published:
    return Published(offset=outcome.position.offset, epoch=outcome.position.epoch)


def _result(call: Call, channel: str, outcome: Outcome | None, error: ChappeError | None) -> BroadcastResult:
    if error is None and outcome is not None:
        return BroadcastResult(channel=channel, offset=outcome.position.offset, epoch=outcome.position.epoch)
    failure = failure_of(error or ChappeError(Code.INTERNAL_ERROR), call.language)
    return BroadcastResult(channel=channel, error=failure)


COMMANDS: Final = (
    Command("publish", "Publish to a channel.", PublishRequest, Published, publish, overlaps=True, audited="people"),
    Command(
        "broadcast",
        "Publish to many channels.",
        BroadcastRequest,
        BroadcastAnswer,
        broadcast,
        overlaps=True,
        audited="people",
    ),
)
