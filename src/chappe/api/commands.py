"""What a command of the API is: a name, the types it takes and gives, a function, a right."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from chappe.api.credentials import Caller
from chappe.hub.auditing import AUDITED, about, shortened
from chappe.hub.hub import HubCore
from chappe.hub.permissions import Actor
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

#: The scopes of a credential that a command accepts.
BACKEND: Final = frozenset({"api"})
OPERATOR: Final = frozenset({"operator"})
EITHER: Final = frozenset({"api", "operator"})

#: Members of a request that say what it is about; never what is published.
_TOLD: Final = {
    **{name: name for name in ("channel", "channels", "user", "session", "resource", "method")},
    # Its id; members called `token` are secrets, and hidden.
    "token": "token_id",
}
#: Rows of one answer, at most.
PAGE: Final = 1_000

Limit: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=PAGE, description="Rows in the answer, at most.")]
After: TypeAlias = Annotated[str, msgspec.Meta(description="`next` of the page before; empty for the first page.")]
Channel: TypeAlias = Annotated[str, msgspec.Meta(description="Name of a channel, such as `chat/lobby`.")]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a command takes. A member it does not know is refused: it may be one that is misspelt."""


class Told(msgspec.Struct, frozen=True, omit_defaults=False, kw_only=True):
    """What a command gives. Members may be added."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command.

    Attributes:
        caller: whose credential it is.
        actor: who asks the hub: the caller with no more rights than the command needs.
        language: `en` or `fr`.
        address: where the request came from.
        uptime_s: since the API was built.
    """

    hub: HubCore
    caller: Caller
    actor: Actor
    language: str
    address: str
    uptime_s: float

    def of(self, command: "Command") -> "Call":
        """Return the same caller's call of another command."""
        return replace(self, actor=self.caller.actor(command.scopes))


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        name: the last segment of its path, and its `type` in a batch.
        summary: the sentence of the OpenAPI document.
        asked, told: types of the request and the answer.
        run: carries it out; returns the answer, or something that waits for it. Raises ChappeError.
        scopes: scopes of a credential that let it pass.
        reads: changes nothing, so that GET with a query is allowed too.
        overlaps: a later command of a batch need not wait for its answer.
        audited: whether it is noted for the audit: always, if somebody with a token does it (`people`), or never.
    """

    name: str
    summary: str
    asked: type[Asked]
    told: type[Told]
    run: Callable[[Call, Any], Any]
    scopes: frozenset[str] = BACKEND
    reads: bool = False
    overlaps: bool = False
    audited: Literal["always", "people", "never"] = "always"

    def carry_out(self, call: Call, asked: Any) -> Any:
        """Do as `run`, and audit what changes something, or its refusal."""
        audit = call.hub.audit
        routine = self.reads or self.audited == "never" or (self.audited == "people" and call.caller.is_backend)
        if audit is None or routine:
            return self.run(call, asked)
        told = {"by": call.caller.name, "address": call.address, "command": self.name}
        told |= {
            told_as: shortened(value)
            for name, told_as in _TOLD.items()
            if (value := getattr(asked, name, None)) is not None
        }
        try:
            answer = self.run(call, asked)
        except ChappeError as error:
            if error.code in AUDITED:
                audit("refused", {"code": int(error.code), **told, **about(error)})
            raise
        audit("command", told)
        return answer


def one_of(user: str | None, session: str | None) -> None:
    """See that a request names a user or a session.

    Raises:
        ChappeError: 107, both or neither.
    """
    if (user is None) == (session is None):
        detail = {"field": "user", "problem": "expected either user or session"}
        raise ChappeError(Code.BAD_REQUEST, detail=detail)
