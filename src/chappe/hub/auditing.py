"""What the audit log is told of a refusal."""

from typing import TYPE_CHECKING, Any, Final

from chappe.hub.permissions import Action
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

if TYPE_CHECKING:
    from chappe.hub.session import Session

#: Errors that somebody may want to know of later.
AUDITED: Final = frozenset(
    {Code.UNAUTHORIZED, Code.TOKEN_EXPIRED, Code.PERMISSION_DENIED, Code.UNSUBSCRIBED_PERMISSION_WITHDRAWN}
)
#: Members of an error's detail that say what it was about; others may be as long as a message.
_TOLD: Final = ("action", "channel", "field", "feature", "problem")
_MOST_CHARACTERS: Final = 255
_MOST_ENTRIES: Final = 20


def refusal(session: "Session", error: ChappeError) -> dict[str, Any]:
    """Return who was refused what, and for which rule where one decided."""
    action, channel = error.detail.get("action"), error.detail.get("channel")
    told: dict[str, Any] = {
        "code": int(error.code),
        "session": session.id,
        "user": session.user,
        "name": session.name,
        "address": session.peer.address,
        "carrier": session.peer.carrier,
        **about(error),
    }
    if error.code == Code.PERMISSION_DENIED and action is not None and channel is not None:
        decision = session.hub.permissions.explain(session.actor, Action(action), channel)
        told |= {"rule": decision.rule.value, "namespace": decision.namespace}
    return told


def about(error: ChappeError) -> dict[str, str]:
    """Return what an error was about."""
    return {name: shortened(str(error.detail[name])) for name in _TOLD if name in error.detail}


def shortened(value: Any) -> Any:
    """Return a text or a list of texts that fills no disk."""
    if isinstance(value, list):
        return [shortened(each) for each in value[:_MOST_ENTRIES]]
    return value[:_MOST_CHARACTERS] if isinstance(value, str) else value
