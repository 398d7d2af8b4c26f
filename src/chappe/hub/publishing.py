"""Publish: authorize, look at the rules, ask the hooks, store, answer. Fan-out follows from the broker's feed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from chappe.hub.contracts import Append, Outcome, Read, ReadResult
from chappe.hub.hooks import Draft
from chappe.hub.namespaces import Access, Namespace
from chappe.hub.resident import Resident
from chappe.hub.session import Answer, Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.json_shape import json_problem
from chappe.model.limits import Limits
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols import base

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Publications told with error 114 (interfaces: "up to 100 missed publications").
_MISSED: Final = 100
#: Characters of an idempotency key.
_KEY_CHARACTERS: Final = 128


class Publishing:
    """Carries out `publish`."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub

    def publish(self, session: Session, command: base.Publish) -> None:
        """Publish for a session; answered when the broker has it.

        Raises:
            ChappeError: 103, 107, 113; nothing was stored then.
        """
        hub = self._hub
        channel = command.channel
        decisions = session.actor.decisions
        namespace = decisions.outlets.get(channel) if decisions is not None else None
        if namespace is None:
            # Before the rights are asked, which are remembered by name: a name may be long.
            hub.check_known_channel(channel)
            namespace = hub.permissions.outlet(session.actor, channel)
        if len(command.payload) > hub.limits.message_bytes:
            self._check_large(session, command)
        if command.key is not None and not 0 < len(command.key) <= _KEY_CHARACTERS:
            raise ChappeError(Code.BAD_REQUEST, detail={"field": "key", "problem": "expected 1 to 128 characters"})
        if namespace.messages_per_s:
            excess = hub.channel_quotas.take(namespace, channel, hub.clock.now())
            if excess is not None:
                raise hub.too_fast(excess)
        if namespace.room:
            self._refuse_impersonation(session, command)
        if not (hub.hooks.publish and hub.hooks.for_publish(channel)):
            if namespace.publish is Access.HOOK:
                raise ChappeError(Code.PERMISSION_DENIED, detail={"channel": channel})
            self._append(session, command, namespace)
            return
        draft = Draft(channel, command.payload, command.kind, command.key, command.headers)
        self._ask(session, command, namespace, draft)

    def append(self, entry: Append, done: Callable[[Outcome], None]) -> None:
        """Store one publication of a backend, which is authorized already."""
        self._hub.counters.published += 1
        self._hub.broker.append((entry,), lambda outcomes: done(outcomes[0]))

    def missed(self, entry: Append, outcome: Outcome, done: Callable[[ChappeError], None]) -> None:
        """Make the error of a conflict: where the channel is, and what its publisher missed."""
        expected = entry.expect
        detail: dict[str, Any] = {"epoch": outcome.position.epoch, "offset": outcome.position.offset}
        if expected is None or expected.epoch not in ("", outcome.position.epoch):
            done(ChappeError(Code.CONFLICT, detail=detail))
            return

        def answered(result: ReadResult) -> None:
            missed = result.publications if result.complete else ()
            detail["publications"] = [publication_value(publication) for publication in missed[:_MISSED]]
            done(ChappeError(Code.CONFLICT, detail=detail))

        since = Position(outcome.position.epoch, expected.offset)
        self._hub.broker.read(Read(entry.channel, entry.namespace, since, self._hub.limits.history_page), answered)

    def _ask(self, session: Session, command: base.Publish, namespace: Namespace, draft: Draft) -> None:
        finished = False

        def asked(error: BaseException | None) -> None:
            nonlocal finished
            if error is not None:
                session.fail(command.id, self._hub.as_refusal(error))
            elif command.is_will or not session.is_over:
                # Who was disconnected while the hook thought has no name any more to speak under.
                self._append_draft(session, command, namespace, draft)
            if finished:
                session.release()
            finished = True

        self._hub.hooks.run(self._hub.hooks.for_publish(draft.channel), (session.handle_of(), draft), asked)
        if not finished:
            finished = True
            session.hold()

    def _append_draft(self, session: Session, command: base.Publish, namespace: Namespace, draft: Draft) -> None:
        """Store what the hooks made of a publication, if that can be stored."""
        try:
            if not command.transient:
                check_payload(draft.payload, draft.kind, self._hub.limits)
        except ChappeError as error:
            session.fail(command.id, error)
            return
        made = replace(command, payload=draft.payload, kind=draft.kind, headers=draft.headers)
        self._append(session, made, namespace)

    def _append(self, session: Session, command: base.Publish, namespace: Namespace) -> None:
        hub = self._hub
        key, expect = command.key, command.expect
        entry = Append(
            command.channel,
            command.payload,
            command.kind,
            hub.clock.wall_ms(),
            namespace if hub.retention is None else hub.retention(command.channel, namespace),
            session.sender or session.introduce(),
            key,
            _key_owner(session) if key is not None else "",
            command.headers,
            self._expectation(session, command) if expect is not None else None,
            command.retain,
            command.transient,
        )
        hub.counters.published += 1
        pending = _Pending(self, session, command.id, entry)
        hub.broker.append((entry,), pending.stored)
        if not pending.told:
            pending.place = session.expect_answer()

    def _expectation(self, session: Session, command: base.Publish) -> Position | None:
        expect = command.expect
        if expect is None or isinstance(expect, Position):
            return expect
        return Position(session.told_epoch(command.channel), expect)

    def _check_large(self, session: Session, command: base.Publish) -> None:
        """Refuse a large payload, but for a relayed file while there is room for it."""
        limits = self._hub.limits
        size = len(command.payload)
        if not command.transient:
            raise too_large(size, limits.message_bytes)
        waiting_bytes = sum(each.link.queued_bytes for each in self._hub.sessions.values())
        # Nothing of it waits yet; once it is sent, every reader may be a slow one.
        if waiting_bytes + size * self._readers(session, command.channel) > limits.relay_bytes:
            self._hub.counters.relays_refused += 1
            raise ChappeError(Code.TOO_MANY_REQUESTS, detail={"limit": "relay_bytes", "maximum": limits.relay_bytes})

    def _readers(self, sender: Session, channel: str) -> int:
        """Return how many connections a relayed frame goes to."""
        readers = {session for each in self._hub.channels.all((channel,)) for session in each.subscriptions}
        return len(readers - {sender})

    def _refuse_impersonation(self, session: Session, command: base.Publish) -> None:
        """Refuse a chat message that names another than its speaker (F04)."""
        if command.payload[:1].lstrip() not in (b"", b"{"):
            return
        try:
            # Raw bytes too: what is JSON reaches protocols with values as that value.
            said = msgspec.json.decode(command.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if not isinstance(said, dict) or said.get("type") != "message" or "username" not in said:
            return
        if said["username"] == session.name:
            return
        self._hub.counters.impersonations += 1
        self._hub.log(
            "WARNING",
            "attempted impersonation: %s (session %s) spoke as %s",
            session.name,
            session.id,
            said["username"],
        )
        raise ChappeError(Code.PERMISSION_DENIED, detail={"field": "username", "channel": command.channel})


class _Pending(msgspec.Struct, eq=False, gc=False):
    """A publication on its way to the broker; nothing that it refers to knows it."""

    publishing: Publishing
    session: Session
    id: int
    entry: Append
    place: Answer | None = None
    told: bool = False

    def stored(self, outcomes: Sequence[Outcome]) -> None:
        """Take the broker's word."""
        outcome = outcomes[0]
        session, position, channel = self.session, outcome.position, self.entry.channel
        if outcome.error == 0:
            session.remember_epoch(channel, position.epoch)
            self.told = True
            answer = base.Published(self.id, position.offset, position.epoch)
            if self.place is None:
                session.answer(answer)
            else:
                session.settle(self.place, answer)
        elif outcome.error == Code.CONFLICT:
            session.remember_epoch(channel, position.epoch, although_subscribed=True)
            self.publishing.missed(self.entry, outcome, self._failed)
        else:
            self._failed(ChappeError(outcome.error))

    def _failed(self, error: ChappeError) -> None:
        self.told = True
        failure = self.session.failure(self.id, error)
        if self.place is None:
            self.session.answer(failure)
        else:
            self.session.settle(self.place, failure)


def _key_owner(session: Session) -> str:
    """Return whose idempotency keys these are: a user's, or this session's own, which it keeps when it resumes.

    Not a claimed name's: somebody else may have the name a minute later.
    """
    if isinstance(session.protocol, Resident):
        return session.protocol.key_owner
    return f"user:{session.user}" if session.user is not None else f"session:{session.id}"


def publication_value(publication: Publication) -> dict[str, Any]:
    """Return a publication as plain values, for details of errors and the HTTP API."""
    return {
        "channel": publication.channel,
        "data": msgspec.json.decode(publication.as_json()),
        "offset": publication.offset,
        "epoch": publication.epoch,
    }


def check_payload(payload: bytes, kind: Kind, limits: Limits) -> None:
    """Refuse what no subscriber could be given.

    Raises:
        ChappeError: 107, JSON too deep, too wide or with a number beyond 64 bits; 113.
    """
    if len(payload) > limits.message_bytes:
        raise too_large(len(payload), limits.message_bytes)
    if kind is Kind.JSON and (problem := json_problem(payload, limits.json_depth, limits.json_keys)):
        raise ChappeError(Code.BAD_REQUEST, detail={"field": "data", "problem": problem})


def too_large(size: int, limit: int) -> ChappeError:
    """Return error 113."""
    text = f"a message of {size} bytes, expected {limit} or fewer"
    return ChappeError(Code.MESSAGE_TOO_LARGE, text, detail={"limit": limit, "size": size})
