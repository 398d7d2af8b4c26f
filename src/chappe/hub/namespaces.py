"""Namespaces: named sets of options, selected by the first segment of a channel."""

import enum
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from chappe.model.channels import namespace_of
from chappe.model.errors import ConfigurationError
from chappe.model.frame import SlowConsumer

#: The namespace of what the hub tells about itself to who operates it; of those that begin with `$` its options count.
SYSTEM: Final = "$SYS"


class Level(enum.Enum):
    """How far a publication is safe when its publisher is told so."""

    LIVE = "live"  #: at most once, nothing kept
    RECOVERABLE = "recoverable"  #: offset and epoch; acknowledged when the broker has it
    DURABLE = "durable"  #: on disk or on the engine before the acknowledgement


class Access(enum.Enum):
    """Who may do something in a namespace when no capability of a token decides."""

    NOBODY = "nobody"
    ANONYMOUS = "anonymous"
    USER = "user"
    TOKEN = "token"  # noqa: S105 - a policy, not a secret
    HOOK = "hook"


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the channels whose first segment is `name`.

    Attributes:
        history_count: publications kept for each channel; 0 keeps none.
        history_age_s: how long each is kept.
        presence: whether members are listed and joins and leaves told.
        patterns: whether channels may be subscribed by pattern.
        ephemeral: never kept, held back from sessions in background (cursors, typing).
        room: the rules of a chat room hold: nobody speaks under another's name.
        subscribe, publish: who may, when no capability of a token decides.
        messages_per_s, messages_burst: publications of all clients together in one channel; above: error 111. 0: no
            limit. Who may not publish takes none of it.
        slow_consumer: what happens to a reader whose send queue is full.
    """

    name: str
    level: Level = Level.LIVE
    history_count: int = 0
    history_age_s: float = 0.0
    presence: bool = False
    patterns: bool = False
    ephemeral: bool = False
    room: bool = False
    subscribe: Access = Access.NOBODY
    publish: Access = Access.NOBODY
    messages_per_s: float = 0.0
    messages_burst: int = 100
    slow_consumer: SlowConsumer = SlowConsumer.DISCONNECT

    @property
    def keeps_history(self) -> bool:
        """Whether publications can be read again."""
        return self.level is not Level.LIVE and not self.ephemeral and self.history_count > 0


class Namespaces:
    """The namespaces of one hub; channels of no named one belong to `default`."""

    def __init__(self, namespaces: Iterable[Namespace] = ()) -> None:
        """Take the namespaces; a `default` that nobody may use is added if there is none.

        Raises:
            ConfigurationError: two namespaces have one name, or one has a slash in it.
        """
        self._by_name: dict[str, Namespace] = {}
        for namespace in namespaces:
            if namespace.name in self._by_name:
                raise ConfigurationError(f"namespace {namespace.name!r} is defined twice")
            if "/" in namespace.name:
                raise ConfigurationError(f"namespace {namespace.name!r} has a slash, expected one segment")
            self._by_name[namespace.name] = namespace
        self.default = self._by_name.setdefault("default", Namespace(name="default"))
        self._all = tuple(self._by_name.values())
        # Nothing of it is worth keeping, whatever `default` keeps. It is open to scopes, which `Permissions` knows.
        self._by_name.setdefault(SYSTEM, Namespace(name=SYSTEM, subscribe=Access.TOKEN))

    def of(self, channel: str) -> Namespace:
        """Return the namespace that serves a channel."""
        return self._by_name.get(namespace_of(channel), self.default)

    def __iter__(self) -> Iterator[Namespace]:
        return iter(self._all)
