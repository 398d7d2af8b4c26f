"""`history` and `presence`."""

from typing import Annotated, Any, Final

import msgspec

from chappe.api.commands import Asked, Call, Channel, Command, Told
from chappe.api.waiting import Waiting
from chappe.hub.contracts import ReadResult
from chappe.model.member import Member
from chappe.model.position import Position
from chappe.model.publication import Publication, Sender
from chappe.model.timestamps import rfc3339
from chappe.protocols import base


class HistoryRequest(Asked, frozen=True, kw_only=True):
    """Read a channel's history: the newest `limit`, or what came after `since` (before it, with `reverse`)."""

    channel: Channel
    limit: int = 100
    since: Annotated[Position | None, msgspec.Meta(description="A place that an answer told.")] = None
    reverse: Annotated[bool, msgspec.Meta(description="Newest first.")] = False


class PublicationEntry(Told, frozen=True, kw_only=True):
    """One publication."""

    channel: str
    data: msgspec.Raw
    offset: int
    epoch: str
    time: str
    sender: Sender | None = msgspec.field(name="from")
    id: str | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class HistoryAnswer(Told, frozen=True, kw_only=True):
    """A page of history; `epoch` and `offset` are where the channel is now."""

    channel: str
    publications: list[PublicationEntry]
    epoch: str
    offset: int


class PresenceRequest(Asked, frozen=True, kw_only=True):
    """List a channel's members."""

    channel: Channel


class MemberEntry(Told, frozen=True, kw_only=True):
    """A user, however many sessions, or a session without a user."""

    session: str
    user: str | None
    name: str
    info: Any = None


class PresenceAnswer(Told, frozen=True, kw_only=True):
    """The members and their number; above `limits.presence_members` the number alone."""

    channel: str
    members: list[MemberEntry]
    count: int


def history(call: Call, request: HistoryRequest) -> Waiting[HistoryAnswer]:
    """Read a page."""
    since = base.SincePosition(request.since.epoch, request.since.offset) if request.since else None
    command = base.History(0, request.channel, request.limit, since, request.reverse)
    waiting: Waiting[HistoryAnswer] = Waiting()

    def page(result: ReadResult) -> HistoryAnswer:
        return HistoryAnswer(
            channel=request.channel,
            publications=[publication_entry(publication) for publication in result.publications],
            epoch=result.position.epoch,
            offset=result.position.offset,
        )

    call.hub.read_history(call.actor, command, waiting.take(page))
    return waiting


def presence(call: Call, request: PresenceRequest) -> Waiting[PresenceAnswer]:
    """List who is there."""
    waiting: Waiting[PresenceAnswer] = Waiting()

    def found(members: list[Member], count: int) -> None:
        if not waiting.done():
            entries = [MemberEntry(session=m.session, user=m.user, name=m.name, info=m.info) for m in members]
            waiting.set_result(PresenceAnswer(channel=request.channel, members=entries, count=count))

    call.hub.list_members(call.actor, request.channel, found)
    return waiting


def publication_entry(publication: Publication) -> PublicationEntry:
    """Return a publication as the API shows it."""
    return PublicationEntry(
        channel=publication.channel,
        data=msgspec.Raw(publication.as_json()),
        offset=publication.offset,
        epoch=publication.epoch,
        time=rfc3339(publication.time_ms),
        sender=publication.sender,
        id=msgspec.UNSET if publication.id is None else publication.id,
        headers=dict(publication.headers) if publication.headers else msgspec.UNSET,
    )


COMMANDS: Final = (
    Command("history", "Read a channel's history.", HistoryRequest, HistoryAnswer, history, reads=True),
    Command("presence", "List the members of a channel.", PresenceRequest, PresenceAnswer, presence, reads=True),
)
