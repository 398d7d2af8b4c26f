"""History and presence, as they are asked for."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from chappe.hub.contracts import Read, ReadResult
from chappe.hub.permissions import Action
from chappe.hub.session import Session
from chappe.model.channels import check_channel
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.member import Member
from chappe.model.position import Position
from chappe.model.publication import Publication
from chappe.protocols import base

#: Counted for each publication of a page beside its payload: about what its other fields take as JSON.
ENTRY_BYTES: Final = 200

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore


class Reading:
    """Carries out `history` and `presence`, and classic's list of names."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub

    def history(self, session: Session, command: base.History) -> None:
        """Answer with a page of history, oldest first (newest first with `reverse`).

        Raises:
            ChappeError: 103, 107; later also 112 (the epoch of `since` is over, or what follows it is trimmed).
        """
        hub = self._hub
        check_channel(command.channel, hub.limits.channel_bytes)
        self._authorize(session, Action.HISTORY, command.channel)
        request = history_request(hub, command)
        answered = False

        def read(result: ReadResult) -> None:
            nonlocal answered
            error = history_error(command, result)
            if error is not None:
                session.fail(command.id, error)
            else:
                session.remember_epoch(command.channel, result.position.epoch)
                page = history_page(hub, command, result).publications
                session.answer(base.HistoryPage(command.id, command.channel, page, result.position))
            if answered:
                session.release()
            answered = True

        hub.broker.read(request, read)
        if not answered:
            answered = True
            session.hold()

    def presence(self, session: Session, command: base.Presence) -> None:
        """Answer with the members of a channel, or above `presence_members` with their number.

        Raises:
            ChappeError: 103, 107, 108 (the namespace keeps no presence).
        """
        hub, channel = self._hub, command.channel
        check_channel(channel, hub.limits.channel_bytes)
        self._authorize(session, Action.PRESENCE, channel)
        # Where other nodes have to be asked, what was asked behind this waits.
        session.hold()

        def found(members: list[Member], count: int) -> None:
            session.answer(base.PresenceList(command.id, channel, members, count))
            session.release()

        try:
            hub.members_of(channel, found)
        except ChappeError:
            session.release()
            raise

    def names(self, session: Session, command: base.ListNames) -> None:
        """Answer with the names in a room, however many."""
        hub = self._hub
        self._authorize(session, Action.PRESENCE, command.channel)
        channel = hub.channels.get(command.channel)
        presence = channel.presence if channel is not None else None
        session.answer(base.Names(command.channel, presence.names() if presence is not None else []))

    def _authorize(self, session: Session, action: Action, channel: str) -> None:
        """Ask the rights; where a hook decides about subscribing, only who it let in may look."""
        permissions = self._hub.permissions
        permissions.authorize(session.actor, action, channel)
        if permissions.needs_hook(action, channel) and channel not in session.subscriptions:
            permissions.refused += 1
            raise ChappeError(Code.PERMISSION_DENIED, detail={"action": action.value, "channel": channel})


def history_request(hub: "HubCore", command: base.History) -> Read:
    """Return what a `history` asks of the broker.

    Raises:
        ChappeError: 107, a limit out of range.
    """
    if not 0 <= command.limit <= hub.limits.history_page:
        problem = f"expected 0 to {hub.limits.history_page}"
        raise ChappeError(Code.BAD_REQUEST, detail={"field": "limit", "problem": problem})
    since = Position(command.since.epoch, command.since.offset) if command.since is not None else None
    namespace = hub.namespaces.of(command.channel)
    return Read(command.channel, namespace, since, command.limit, command.reverse)


def history_page(hub: "HubCore", command: base.History, result: ReadResult) -> ReadResult:
    """Return an answer without what would make the page larger than `history_page_bytes`; one publication always stays.

    What goes is the end of the page, where a next page can begin; of the newest, oldest first, it is the beginning.
    """
    publications = result.publications
    backwards = command.since is None and not command.reverse
    ordered = reversed(publications) if backwards else publications
    fitting = fitting_of(ordered, hub.limits.history_page_bytes)
    if fitting == len(publications):
        return result
    hub.counters.history_cut += 1
    page = publications[-fitting:] if backwards else publications[:fitting]
    return replace(result, publications=page, complete=False)


def fitting_of(publications: Iterable[Publication], page_bytes: int) -> int:
    """Return how many of these, from the first on, one page has room for; one always."""
    left, fitting = page_bytes, 0
    for publication in publications:
        left -= len(publication.payload) + ENTRY_BYTES
        if left < 0 and fitting:
            break
        fitting += 1
    return fitting


def history_error(command: base.History, result: ReadResult) -> ChappeError | None:
    """Return why a page cannot be given: the broker is away (108), or what should follow `since` is gone (112).

    `since` may be of another epoch, ahead of the channel, or so old that publications behind it are trimmed: a page
    that left them out would be a silent gap. Backwards there is nothing to miss: the oldest kept is the end.
    """
    if result.error:
        return ChappeError(result.error)
    since = command.since
    if since is None:
        return None
    if since.epoch != result.position.epoch or not (command.reverse or result.unbroken):
        detail = {"epoch": result.position.epoch, "offset": result.position.offset}
        return ChappeError(Code.UNRECOVERABLE_POSITION, detail=detail)
    return None
