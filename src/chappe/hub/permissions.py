"""Who may do what: one `authorize` on every path to a channel."""

import enum
from typing import Final
from weakref import WeakValueDictionary

from chappe.hub.contracts import Claims
from chappe.hub.decision import Decision, Rule
from chappe.hub.namespaces import Access, Namespace, Namespaces
from chappe.model.channels import is_pattern, namespace_of, pattern_matches
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

#: Decisions remembered in all; above, all are forgotten (clients that name ever new channels). At most 25 MB.
_REMEMBERED: Final = 65_536
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
    TICKET = "ticket"

    # Members are what they are and nothing else; the hash of `Enum` is a call in Python, on the way of each message.
    __hash__ = object.__hash__


#: Reading actions ask for the right to subscribe.
READING: Final = frozenset(
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
#: Decisions about channels. The others ask for names that nobody checked, or are as quick as remembering them.
_MEMORABLE: Final = READING | {Action.PUBLISH}
#: What nodes of a hub say to each other: who reads it may take sessions over, who writes it ends them.
_INNER: Final = "$hub"


class Decisions:
    """What was decided before for everybody with the same rights.

    Attributes:
        by_action: whether an action in a channel is allowed.
        outlets: the channels that may be published in, each with its namespace.
    """

    __slots__ = ("__weakref__", "by_action", "outlets")

    def __init__(self) -> None:
        self.by_action: dict[tuple[Action, str], bool] = {}
        self.outlets: dict[str, Namespace] = {}


class Actor:
    """Somebody who asks.

    Attributes:
        claims: what the credential says; empty for an anonymous session.
        trusted: the application itself or a backend with an API key: the namespace does not decide, its right does.
        decisions: what was decided before, for all with these rights; None before the first question.
    """

    __slots__ = ("claims", "decisions", "trusted")

    def __init__(self, claims: Claims, trusted: bool = False) -> None:
        self.claims = claims
        self.trusted = trusted
        self.decisions: Decisions | None = None


#: The application that the hub lives in.
APPLICATION: Final = Actor(Claims(user=None, scopes=frozenset({"api", "operator"})), trusted=True)


class Permissions:
    """Decides, and counts what it refused."""

    def __init__(self, namespaces: Namespaces, anonymous: bool) -> None:
        """Take the rules; `anonymous` allows sessions without credentials at all."""
        self._namespaces = namespaces
        # By what decides; a table lives as long as somebody with these rights is here.
        self._decisions: WeakValueDictionary[tuple[object, ...], Decisions] = WeakValueDictionary()
        self._remembered = 0
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
        decisions = actor.decisions or self._of(actor)
        decision = decisions.by_action.get(key)
        if decision is None:
            decision = self.explain(actor, action, channel).allowed
            # Whose `$user/<id>` it is, is decided by the user, not by the rights. Who is trusted is not asked for the
            # channel, and outlives the hub: nothing would clear what it remembered.
            if action in _MEMORABLE and channel[:1] != "$" and not actor.trusted:
                self._count()
                decisions.by_action[key] = decision
        if not decision:
            self.refused += 1
            raise ChappeError(Code.PERMISSION_DENIED, detail={"action": action.value, "channel": channel[:_SHOWN]})

    def explain(self, actor: Actor, action: Action, channel: str) -> Decision:
        """Decide anew, and say by which rule; nothing is counted or remembered. `authorize` asks this."""
        if action in _MEMORABLE and namespace_of(channel) == _INNER:
            return Decision(False, Rule.INNER)
        if action is Action.TICKET:
            allowed = actor.trusted and "api" in actor.claims.scopes
            return Decision(allowed, Rule.BACKEND if allowed else Rule.NO_SCOPE)
        if actor.trusted:
            allowed = "api" in actor.claims.scopes or "operator" in actor.claims.scopes
            return Decision(allowed, Rule.BACKEND if allowed else Rule.NO_SCOPE)
        if action in (Action.INSPECT, Action.DISCONNECT):
            allowed = "operator" in actor.claims.scopes
            return Decision(allowed, Rule.OPERATOR if allowed else Rule.NO_OPERATOR)
        if actor.claims.user is None and not self.anonymous:
            return Decision(False, Rule.NO_IDENTITY)
        if action in _CHANNELLESS:
            return Decision(True, Rule.IDENTITY)
        if channel.startswith("$"):
            return self._decide_system(actor, action, channel)
        if action in READING and is_pattern(channel):
            return self._decide_pattern(actor, channel)
        return self._decide_channel(actor, action, channel)

    def outlet(self, actor: Actor, channel: str) -> Namespace:
        """Return the namespace of a channel with a valid name that may be published in; later it is in `outlets`.

        Raises:
            ChappeError: 103.
        """
        self.authorize(actor, Action.PUBLISH, channel)
        namespace = self._namespaces.of(channel)
        if actor.decisions is not None and channel[:1] != "$":
            self._count()
            actor.decisions.outlets[channel] = namespace
        return namespace

    def needs_hook(self, action: Action, channel: str) -> bool:
        """Tell whether the namespace leaves the decision to a hook, which must then exist and agree."""
        namespace = self._namespaces.of(channel)
        access = namespace.publish if action is Action.PUBLISH else namespace.subscribe
        return access is Access.HOOK

    def _of(self, actor: Actor) -> Decisions:
        """Return the decisions of an actor's rights, and give them to it."""
        claims = actor.claims
        rights = (self.anonymous, actor.trusted, claims.user is None, claims.scopes, claims.subscribe, claims.publish)
        decisions = self._decisions.get(rights)
        if decisions is None:
            decisions = self._decisions[rights] = Decisions()
        actor.decisions = decisions
        return decisions

    def _count(self) -> None:
        """Count one more decision; forget all when there are too many."""
        self._remembered += 1
        if self._remembered > _REMEMBERED:
            self._remembered = 1
            for decisions in self._decisions.values():
                decisions.by_action.clear()
                decisions.outlets.clear()

    def _decide_channel(self, actor: Actor, action: Action, channel: str) -> Decision:
        namespace = self._namespaces.of(channel)
        reading = action in READING
        access = namespace.subscribe if reading else namespace.publish
        granted = actor.claims.subscribe if reading else actor.claims.publish
        if access is Access.NOBODY:
            return Decision(False, Rule.CLOSED, namespace.name)
        if granted is not None:
            return _granted(next((each for each in granted if pattern_matches(each, channel)), ""), namespace.name)
        if access is Access.USER and actor.claims.user is None:
            return Decision(False, Rule.NO_USER, namespace.name)
        return Decision(access is not Access.TOKEN, _RULES[access], namespace.name)

    def _decide_pattern(self, actor: Actor, pattern: str) -> Decision:
        """A pattern within one namespace asks that namespace; one over several needs a capability that covers it."""
        granted = actor.claims.subscribe
        covering = next((grant for grant in granted or () if pattern_covers(grant, pattern)), "")
        if is_pattern(namespace_of(pattern)):
            # Over several namespaces: each must allow patterns, since the capability cannot be narrower than they are.
            everywhere = all(n.patterns and n.subscribe is Access.ANONYMOUS for n in self._namespaces)
            if granted is None:
                return Decision(everywhere, Rule.ALL_OPEN if everywhere else Rule.WIDE)
            return Decision(bool(covering), Rule.CAPABILITY if covering else Rule.WIDE, "", covering)
        namespace = self._namespaces.of(pattern)
        if not namespace.patterns:
            return Decision(False, Rule.NO_PATTERNS, namespace.name)
        if granted is not None and namespace.subscribe is not Access.NOBODY:
            return _granted(covering, namespace.name)
        return self._decide_channel(actor, Action.SUBSCRIBE, pattern)

    def _decide_system(self, actor: Actor, action: Action, channel: str) -> Decision:
        """`$user/<id>` is readable by that user; other `$` channels ask for `operator`."""
        if "operator" in actor.claims.scopes and action is not Action.PUBLISH:
            return Decision(True, Rule.OPERATOR)
        own = actor.claims.user is not None and channel == f"$user/{actor.claims.user}"
        if own and action in READING:
            return Decision(True, Rule.OWN_CHANNEL)
        return Decision(False, Rule.HUB_CHANNEL)


#: What decides where no capability does.
_RULES: Final = {
    Access.ANONYMOUS: Rule.OPEN,
    Access.HOOK: Rule.HOOK,
    Access.USER: Rule.USER,
    Access.TOKEN: Rule.NO_TOKEN,
}


def _granted(capability: str, namespace: str) -> Decision:
    rule = Rule.CAPABILITY if capability else Rule.NO_CAPABILITY
    return Decision(bool(capability), rule, namespace, capability)


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
