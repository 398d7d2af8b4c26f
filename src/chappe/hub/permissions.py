"""Who may do what: one `authorize` on every path to a channel."""

import enum
from typing import Final

from chappe.hub.contracts import Claims
from chappe.hub.namespaces import Access, Namespaces
from chappe.model.channels import is_pattern, namespace_of, pattern_matches
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

#: Decisions remembered for one actor; above, all are forgotten (a client that names ever new channels).
_REMEMBERED: Final = 128
#: Characters of a name that an error repeats.
_SHOWN: Final = 255


class Action(enum.Enum):
    """What is asked for; every path to the broker, to presence or to a lock names one."""

    SUBSCRIBE = "subscribe"
    SUBSCRIBE_PATTERN = "subscribe_pattern"
    RECOVER = "recover"
    RETAINED = "retained"
    HISTORY = "history"
    PRESENCE = "presence"
    PUBLISH = "publish"
    LOCK = "lock"
    RPC = "rpc"
    GATEWAY = "gateway"
    INSPECT = "inspect"
    DISCONNECT = "disconnect"


#: Reading actions ask for the right to subscribe.
_READING: Final = frozenset(
    {
        Action.SUBSCRIBE,
        Action.SUBSCRIBE_PATTERN,
        Action.RECOVER,
        Action.RETAINED,
        Action.HISTORY,
        Action.PRESENCE,
    }
)
#: What is no channel asks only for an identity (or anonymous access).
_CHANNELLESS: Final = frozenset({Action.LOCK, Action.RPC, Action.GATEWAY})


class Actor:
    """Somebody who asks.

    Attributes:
        claims: what the credential says; empty for an anonymous session.
        trusted: the application itself or a backend with an API key: the namespace does not decide, its right does.
        decisions: what was decided before, for this actor.
    """

    __slots__ = ("claims", "decisions", "trusted")

    def __init__(self, claims: Claims, trusted: bool = False) -> None:
        self.claims = claims
        self.trusted = trusted
        self.decisions: dict[tuple[Action, str], bool] = {}


#: The application that the hub lives in.
APPLICATION: Final = Actor(Claims(user=None, scopes=frozenset({"api", "operator"})), trusted=True)


class Permissions:
    """Decides, and counts what it refused."""

    def __init__(self, namespaces: Namespaces, anonymous: bool) -> None:
        """Take the rules; `anonymous` allows sessions without credentials at all."""
        self._namespaces = namespaces
        self.anonymous = anonymous
        self.refused = 0

    def authorize(self, actor: Actor, action: Action, channel: str) -> None:
        """Let pass, or refuse.

        Args:
            channel: a channel or pattern; for `LOCK`, `RPC` and `GATEWAY` the name of the resource, method or service.
        Raises:
            ChappeError: 103.
        """
        key = (action, channel)
        decision = actor.decisions.get(key)
        if decision is None:
            decision = self._decide(actor, action, channel)
            # Names of resources and methods are not checked before and decide nothing: they are not remembered.
            if action not in _CHANNELLESS:
                if len(actor.decisions) >= _REMEMBERED:
                    actor.decisions.clear()
                actor.decisions[key] = decision
        if not decision:
            self.refused += 1
            raise ChappeError(Code.PERMISSION_DENIED, detail={"action": action.value, "channel": channel[:_SHOWN]})

    def needs_hook(self, action: Action, channel: str) -> bool:
        """Tell whether the namespace leaves the decision to a hook, which must then exist and agree."""
        namespace = self._namespaces.of(channel)
        access = namespace.publish if action is Action.PUBLISH else namespace.subscribe
        return access is Access.HOOK

    def _decide(self, actor: Actor, action: Action, channel: str) -> bool:
        if actor.trusted:
            return "api" in actor.claims.scopes or "operator" in actor.claims.scopes
        if action in (Action.INSPECT, Action.DISCONNECT):
            return "operator" in actor.claims.scopes
        if actor.claims.user is None and not self.anonymous:
            return False
        if action in _CHANNELLESS:
            return True
        if channel.startswith("$"):
            return self._decide_system(actor, action, channel)
        if action in _READING and is_pattern(channel):
            return self._decide_pattern(actor, channel)
        return self._decide_channel(actor, action, channel)

    def _decide_channel(self, actor: Actor, action: Action, channel: str) -> bool:
        namespace = self._namespaces.of(channel)
        reading = action in _READING
        access = namespace.subscribe if reading else namespace.publish
        granted = actor.claims.subscribe if reading else actor.claims.publish
        if access is Access.NOBODY:
            return False
        if granted is not None:
            return any(pattern_matches(pattern, channel) for pattern in granted)
        if access is Access.ANONYMOUS or access is Access.HOOK:
            return True
        return access is Access.USER and actor.claims.user is not None

    def _decide_pattern(self, actor: Actor, pattern: str) -> bool:
        """A pattern within one namespace asks that namespace; one over several needs a capability that covers it."""
        granted = actor.claims.subscribe
        first = namespace_of(pattern)
        if is_pattern(first):
            # Over several namespaces: each must allow patterns, since the capability cannot be narrower than they are.
            everywhere = all(n.patterns and n.subscribe is Access.ANONYMOUS for n in self._namespaces)
            return everywhere if granted is None else any(pattern_covers(grant, pattern) for grant in granted)
        if not self._namespaces.of(pattern).patterns:
            return False
        if granted is not None:
            return any(pattern_covers(grant, pattern) for grant in granted)
        return self._decide_channel(actor, Action.SUBSCRIBE, pattern)

    def _decide_system(self, actor: Actor, action: Action, channel: str) -> bool:
        """`$user/<id>` is readable by that user; the rest of the hub's own channels asks for `operator`."""
        if "operator" in actor.claims.scopes:
            return action is not Action.PUBLISH
        own = actor.claims.user is not None and channel == f"$user/{actor.claims.user}"
        return own and action in _READING


def pattern_covers(grant: str, pattern: str) -> bool:
    """Tell whether every channel that `pattern` matches is also matched by `grant`."""
    wide, narrow = grant.split("/"), pattern.split("/")
    for index, segment in enumerate(wide):
        if segment == "#":
            return index > 0 or not pattern.startswith("$")
        if index >= len(narrow) or narrow[index] == "#":
            return False
        if segment == "+":
            if index == 0 and narrow[0].startswith("$"):
                return False
        elif narrow[index] != segment:
            return False
    return len(wide) == len(narrow)
