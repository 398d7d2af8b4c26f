"""Hooks: what an application adds in Python.

A hook is a plain function, which runs inside the way of the message, or one that returns an awaitable, which holds its
session (and only that one) until it is done. An exception of a hook refuses what it was asked about.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from chappe.hub.contracts import Spawn
from chappe.model.channels import pattern_matches, patterns_intersect
from chappe.model.publication import Kind

Hook: TypeAlias = Callable[..., Awaitable[None] | None]
RpcMethod: TypeAlias = Callable[..., Any]
Done: TypeAlias = Callable[[BaseException | None], None]


class Draft:
    """A publication before it is stored: a hook may look at it, and set `data` and `headers`.

    Attributes:
        payload: its bytes; `kind` says what they are.
        headers: the publisher's, or None.
    """

    __slots__ = ("_channel", "_key", "headers", "kind", "payload")

    def __init__(self, channel: str, payload: bytes, kind: Kind, key: str | None, headers: Any) -> None:
        self._channel = channel
        self._key = key
        self.payload = payload
        self.kind = kind
        self.headers = headers

    @property
    def channel(self) -> str:
        """Where it will be published."""
        return self._channel

    @property
    def key(self) -> str | None:
        """The publisher's idempotency key, or None."""
        return self._key

    @property
    def data(self) -> Any:
        """The payload as Python values (bytes for raw binary)."""
        if self.kind is Kind.JSON:
            return msgspec.json.decode(self.payload)
        return self.payload.decode() if self.kind is Kind.TEXT else self.payload

    @data.setter
    def data(self, value: Any) -> None:
        if isinstance(value, bytes):
            self.payload, self.kind = value, Kind.BINARY
        else:
            self.payload, self.kind = msgspec.json.encode(value), Kind.JSON


class Hooks:
    """The hooks of one hub, in the order in which they were added."""

    def __init__(self, spawn: Spawn) -> None:
        self.spawn = spawn
        self.connect: list[Hook] = []
        self.disconnect: list[Hook] = []
        self.message: list[Hook] = []
        self.error: list[Hook] = []
        self.operation: list[Hook] = []
        self.rpc: dict[str, RpcMethod] = {}
        self.publish: list[tuple[str, Hook]] = []
        self._subscribe: list[tuple[str, Hook]] = []

    def add_publish(self, pattern: str, hook: Hook) -> None:
        """Ask a hook about publications in channels that match a pattern."""
        self.publish.append((pattern, hook))

    def add_subscribe(self, pattern: str, hook: Hook) -> None:
        """Ask a hook about subscriptions to channels that match a pattern."""
        self._subscribe.append((pattern, hook))

    def for_publish(self, channel: str) -> Sequence[Hook]:
        """Return the hooks to ask about a publication in a channel."""
        if not self.publish:
            return ()
        return [hook for pattern, hook in self.publish if pattern_matches(pattern, channel)]

    def for_subscribe(self, channel: str) -> Sequence[Hook]:
        """Return the hooks to ask about a subscription to a channel or pattern.

        A pattern asks every hook of a channel that it may bring: one that guards `team/secret` is asked about `team/+`.
        """
        if not self._subscribe:
            return ()
        return [hook for pattern, hook in self._subscribe if patterns_intersect(pattern, channel)]

    def run(self, hooks: Sequence[Hook], arguments: Sequence[object], done: Done) -> None:
        """Call hooks one after the other until one raises; `done` gets its exception or None.

        Called inside this call if no hook returned an awaitable.
        """
        for index, hook in enumerate(hooks):
            try:
                answer = hook(*arguments)
            except Exception as error:
                done(error)
                return
            if answer is not None and hasattr(answer, "__await__"):
                self.spawn(answer, self._go_on(hooks[index + 1 :], arguments, done))
                return
        done(None)

    def _go_on(self, rest: Sequence[Hook], arguments: Sequence[object], done: Done) -> Callable[..., None]:
        def finished(_: object, error: BaseException | None) -> None:
            if error is not None:
                done(error)
            else:
                self.run(rest, arguments, done)

        return finished

    def call(self, method: RpcMethod, arguments: Sequence[object], named: Any, done: Callable[..., None]) -> None:
        """Call an rpc method; `done` gets its result or its exception."""
        try:
            answer = method(*arguments, **named)
        except Exception as error:
            done(None, error)
            return
        if hasattr(answer, "__await__"):
            self.spawn(answer, done)
        else:
            done(answer, None)
