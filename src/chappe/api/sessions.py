"""`disconnect`, `subscribe` and `unsubscribe`: what backends do with the sessions of users on this node."""

from typing import Annotated, Final, TypeAlias

import msgspec

from chappe.api.commands import OPERATOR, Asked, Call, Channel, Command, Told, one_of
from chappe.hub.permissions import Action
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

User: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, description="All sessions of this authenticated user.")]
SessionId: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, description="The public id of one session.")]


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


def disconnect(call: Call, request: DisconnectRequest) -> DisconnectAnswer:
    """End sessions."""
    one_of(request.user, request.session)
    call.hub.permissions.authorize(call.actor, Action.DISCONNECT, request.session or f"$user/{request.user}")
    found = _sessions(call, request.user, request.session)
    for session in found:
        call.hub.log(
            "INFO", "%s disconnects session %s (%s)", call.caller.name, session.id, session.name or "anonymous"
        )
        call.hub.disconnect(call.actor, session)
    return DisconnectAnswer(disconnected=len(found))


def subscribe(call: Call, request: SubscribeRequest) -> SubscribeAnswer:
    """Answer that this release cannot: no message of chappe.v1 tells a client of a subscription it did not ask for.

    Raises:
        ChappeError: 103, 107, 108.
    """
    one_of(request.user, request.session)
    call.hub.permissions.authorize(call.actor, Action.SUBSCRIBE, request.channel)
    raise ChappeError(Code.NOT_AVAILABLE, detail={"feature": "subscriptions made by a backend"})


def unsubscribe(call: Call, request: UnsubscribeRequest) -> UnsubscribeAnswer:
    """End subscriptions."""
    one_of(request.user, request.session)
    call.hub.permissions.authorize(call.actor, Action.SUBSCRIBE, request.channel)
    ended = 0
    for session in _sessions(call, request.user, request.session):
        subscription = session.subscriptions.get(request.channel)
        if subscription is not None:
            call.hub.subscribing.end(subscription, Code.UNSUBSCRIBED)
            ended += 1
    return UnsubscribeAnswer(unsubscribed=ended)


def _sessions(call: Call, user: str | None, session: str | None) -> list[Session]:
    """Return the sessions meant, on this node; a user without any is no error.

    Raises:
        ChappeError: 117, there is no such session.
    """
    if session is None:
        return [each for each in call.hub.sessions.values() if each.user == user]
    found = call.hub.sessions.get(session)
    if found is None:
        raise ChappeError(Code.UNKNOWN_SESSION, detail={"session": session[:64]})
    return [found]


COMMANDS: Final = (
    Command("disconnect", "End sessions.", DisconnectRequest, DisconnectAnswer, disconnect, OPERATOR),
    Command("subscribe", "Subscribe sessions (108 in this release).", SubscribeRequest, SubscribeAnswer, subscribe),
    Command("unsubscribe", "End subscriptions.", UnsubscribeRequest, UnsubscribeAnswer, unsubscribe),
)
