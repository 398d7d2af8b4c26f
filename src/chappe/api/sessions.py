"""`disconnect`, `revoke`, `subscribe` and `unsubscribe`: what backends do with the sessions of users, on all nodes."""

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec

from chappe.api.commands import OPERATOR, Asked, Call, Channel, Command, Told, one_of
from chappe.api.waiting import Waiting
from chappe.hub.permissions import Action
from chappe.hub.revocation import UNKNOWN_S
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

User: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, description="All sessions of this authenticated user.")]
SessionId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, description="The public id of one session.")]

TokenId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, description="The id (`jti`) of a token.")]
_UNTIL: Final = "Seconds since 1970: how long tokens are refused whose `exp` is not known; else 30 days."
Until: TypeAlias = Annotated[float, msgspec.Meta(gt=0, description=_UNTIL)]


class DisconnectRequest(Asked, frozen=True, kw_only=True):
    """End the sessions of a user, or one session, with close code 3503: they do not come back by themselves."""

    user: User | None = None
    session: SessionId | None = None


class DisconnectAnswer(Told, frozen=True, kw_only=True):
    """How many sessions ended."""

    disconnected: int


class SubscribeRequest(Asked, frozen=True, kw_only=True):
    """Subscribe the sessions of a user, or one session; not available in this release."""

    channel: Channel
    user: User | None = None
    session: SessionId | None = None


class SubscribeAnswer(Told, frozen=True, kw_only=True):
    """How many sessions were subscribed."""

    subscribed: int


class UnsubscribeRequest(Asked, frozen=True, kw_only=True):
    """End the subscription of a user's sessions, or of one session; they are told with code 2000."""

    channel: Annotated[str, msgspec.Meta(description="Channel or pattern, as it was subscribed to.")]
    user: User | None = None
    session: SessionId | None = None


class UnsubscribeAnswer(Told, frozen=True, kw_only=True):
    """How many subscriptions ended."""

    unsubscribed: int


class RevokeRequest(Asked, frozen=True, kw_only=True):
    """End sessions and refuse the tokens that they came with (those that have a `jti`), or refuse one token.

    Of a user, tokens, tickets and certificates are refused that were issued until now (those that have an `iat`).
    """

    user: User | None = None
    session: SessionId | None = None
    token: TokenId | None = None
    until: Until | None = None


class RevokeAnswer(Told, frozen=True, kw_only=True):
    """How many sessions ended."""

    disconnected: int


def disconnect(call: Call, request: DisconnectRequest) -> DisconnectAnswer | Waiting[DisconnectAnswer]:
    """End sessions, on the other nodes too."""
    one_of(request.user, request.session)
    call.hub.permissions.authorize(call.actor, Action.DISCONNECT, request.session or f"$user/{request.user}")
    found = _sessions(call, request.user, request.session)
    for session in found:
        call.hub.log(
            "INFO", "%s disconnects session %s (%s)", call.caller.name, session.id, session.name or "anonymous"
        )
        call.hub.disconnect(call.actor, session)
    cluster = call.hub.cluster
    if cluster is None or (request.session is not None and found):
        return DisconnectAnswer(disconnected=len(found))
    waiting: Waiting[DisconnectAnswer] = Waiting()

    def ended(elsewhere: int) -> None:
        if not waiting.done():
            total = len(found) + elsewhere
            is_unknown = request.session is not None and not total
            waiting.set_result(_unknown(request.session or "") if is_unknown else DisconnectAnswer(disconnected=total))

    cluster.end({"user": request.user, "session": request.session, "code": Code.DISCONNECTED}, ended)
    return waiting


def revoke(call: Call, request: RevokeRequest) -> RevokeAnswer | Waiting[RevokeAnswer]:
    """Refuse tokens and end their sessions, on the other nodes too.

    Raises:
        ChappeError: 103, 107.
    """
    user, session, token = request.user, request.session, request.token
    if sum(each is not None for each in (user, session, token)) != 1:
        detail = {"field": "user", "problem": "expected either user, session or token"}
        raise ChappeError(Code.BAD_REQUEST, detail=detail)
    hub = call.hub
    hub.permissions.authorize(call.actor, Action.DISCONNECT, session or f"$user/{user}")
    until = request.until if request.until is not None else hub.clock.wall_ms() / 1_000 + UNKNOWN_S
    ended = hub.revoke_here(user, session, token, until)
    hub.log("INFO", "%s revokes %s", call.caller.name, session or user or "a token")
    if hub.cluster is None:
        return RevokeAnswer(disconnected=ended)
    waiting: Waiting[RevokeAnswer] = Waiting()

    def told(elsewhere: int) -> None:
        if not waiting.done():
            waiting.set_result(RevokeAnswer(disconnected=ended + elsewhere))

    hub.cluster.revoking.revoke(user, session, token, until, told)
    return waiting


def subscribe(call: Call, request: SubscribeRequest) -> SubscribeAnswer:
    """Answer that this release cannot: no message of chappe.v1 tells a client of a subscription it did not ask for.

    Raises:
        ChappeError: 103, 107, 108.
    """
    one_of(request.user, request.session)
    call.hub.permissions.authorize(call.actor, Action.SUBSCRIBE, request.channel)
    raise ChappeError(Code.NOT_AVAILABLE, detail={"feature": "subscriptions made by a backend"})


def unsubscribe(call: Call, request: UnsubscribeRequest) -> UnsubscribeAnswer | Waiting[UnsubscribeAnswer]:
    """End subscriptions, on the other nodes too."""
    one_of(request.user, request.session)
    call.hub.permissions.authorize(call.actor, Action.SUBSCRIBE, request.channel)
    sessions = _sessions(call, request.user, request.session)
    ended = call.hub.subscribing.end_all(sessions, request.channel)
    cluster = call.hub.cluster
    if cluster is None or (request.session is not None and sessions):
        return UnsubscribeAnswer(unsubscribed=ended)
    waiting: Waiting[UnsubscribeAnswer] = Waiting()

    def told(answers: Sequence[int]) -> None:
        if waiting.done():
            return
        if request.session is not None and all(count < 0 for count in answers):
            waiting.set_result(_unknown(request.session))
        else:
            elsewhere = sum(max(count, 0) for count in answers)
            waiting.set_result(UnsubscribeAnswer(unsubscribed=ended + elsewhere))

    what = {"user": request.user, "session": request.session, "channel": request.channel}
    cluster.unsubscribe(what, told)
    return waiting


def _sessions(call: Call, user: str | None, session: str | None) -> list[Session]:
    """Return the sessions meant that are on this node; a user without any is no error.

    Raises:
        ChappeError: 117, there is no such session, and no other node that may have it.
    """
    found = call.hub.find_sessions(user, session, None)
    if session is not None and not found and call.hub.cluster is None:
        raise _unknown(session)
    return found


def _unknown(session: str) -> ChappeError:
    return ChappeError(Code.UNKNOWN_SESSION, detail={"session": session[:64]})


COMMANDS: Final = (
    Command("disconnect", "End sessions.", DisconnectRequest, DisconnectAnswer, disconnect, OPERATOR),
    Command("revoke", "Refuse tokens and end their sessions.", RevokeRequest, RevokeAnswer, revoke, OPERATOR),
    Command("subscribe", "Subscribe sessions (108 in this release).", SubscribeRequest, SubscribeAnswer, subscribe),
    Command("unsubscribe", "End subscriptions.", UnsubscribeRequest, UnsubscribeAnswer, unsubscribe),
)
