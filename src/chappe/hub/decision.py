"""What was decided about a right, and which rule decided it."""

import enum
from typing import NamedTuple


class Rule(enum.Enum):
    """The rule that decided; the first one that has something to say does."""

    BACKEND = "backend"  #: the application, or a credential with the scope `api` or `operator` over the API
    NO_SCOPE = "no_scope"  #: a credential over the API whose scopes are not enough
    OPERATOR = "operator"  #: the scope `operator`
    NO_OPERATOR = "no_operator"  #: the scope `operator` is missing
    NO_IDENTITY = "no_identity"  #: nobody in particular, where `auth.anonymous` is off
    IDENTITY = "identity"  #: somebody, or anybody where `auth.anonymous` is on: it is about no channel
    OWN_CHANNEL = "own_channel"  #: `$user/<id>` of the user itself
    INNER = "inner"  #: what nodes of a hub say to each other, `$hub/...`
    HUB_CHANNEL = "hub_channel"  #: a channel of the hub's own
    CLOSED = "closed"  #: the namespace says `nobody`
    CAPABILITY = "capability"  #: a pattern of the token
    NO_CAPABILITY = "no_capability"  #: the token has patterns, and none of them fits
    OPEN = "open"  #: the namespace says `anonymous`
    HOOK = "hook"  #: the namespace says `hook`: a hook has to agree
    USER = "user"  #: the namespace says `user`, and there is one
    NO_USER = "no_user"  #: the namespace says `user`, and there is none
    NO_TOKEN = "no_token"  # noqa: S105 #: the namespace says `token`, and no token has a pattern
    NO_PATTERNS = "no_patterns"  #: the namespace takes no patterns
    ALL_OPEN = "all_open"  #: a pattern over several namespaces, and all of them are open to it
    WIDE = "wide"  #: a pattern over several namespaces, without a capability that covers it


class Decision(NamedTuple):
    """One decision.

    Attributes:
        allowed: whether it may.
        rule: what decided it.
        namespace: whose options were asked; empty: none.
        capability: the pattern of the token that fits; empty: none does.
    """

    allowed: bool
    rule: Rule
    namespace: str = ""
    capability: str = ""
