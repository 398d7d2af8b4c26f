"""What MQTT clients must get, in the fewest words: lists of what is owed, and nothing of how a hub does it.

Written from the standard (OASIS, MQTT 3.1.1 and 5) for `test_machine`, and on purpose without the product's code: it
matches filters itself, keeps no windows, no log and no positions. Whoever drives it lets everything settle between two
steps and never stands near a deadline, so that it may be exact about what is owed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from chappe.protocols.mqtt.packets import Publish

#: After a crash what was acknowledged with QoS 1 so shortly before may come again, seconds.
UNWRITTEN_S: Final = 5.0


class Broken(AssertionError):
    """A client saw what it must not see, or did not see what it must."""


def matches(pattern: str, topic: str) -> bool:
    """Tell whether a filter matches a topic (MQTT 5, 4.7)."""
    levels = topic.split("/")
    for index, part in enumerate(pattern.split("/")):
        if part == "#":
            return True
        if index >= len(levels) or part not in ("+", levels[index]):
            return False
    return len(levels) == pattern.count("/") + 1


@dataclass(frozen=True)
class Message:
    """What somebody published; `number` is its place among all, `expires_at` a time of the clock."""

    number: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    sender: str
    expires_at: float = math.inf


@dataclass(frozen=True)
class Wish:
    """The options of a subscription (MQTT 5, 3.8.3.1)."""

    qos: int
    no_local: bool = False
    as_published: bool = False
    handling: int = 0


@dataclass
class Owed:
    """A message that a client is to get.

    Attributes:
        qos: with which of these.
        stored: it is a retained one, for a new subscription.
        optional: it may come, and need not.
        late: it may be on its way already, so that its expiry ends nothing.
        turn: its place among all that was ever owed.
    """

    message: Message
    qos: set[int]
    retain: bool
    stored: bool = False
    optional: bool = False
    late: bool = False
    turn: int = 0


@dataclass(frozen=True)
class Will:
    """A will of a connection."""

    message: Message
    delay_s: float


@dataclass
class Account:
    """A session, from its first connection to its end.

    Attributes:
        lasts_s: how long it outlives its connection.
        ends_at: when it ends, once the connection is gone.
        owed: what was not sent, in order.
        unacked: messages of QoS 1 that came and whose acknowledgement the hub has not got.
        taken: messages of QoS 2 that came and were not released.
        recent: when what was acknowledged with QoS 1.
        due_at: when the will is said, once the connection is gone.
    """

    client: str
    lasts_s: float
    connected: bool = True
    ends_at: float = math.inf
    wishes: dict[str, Wish] = field(default_factory=dict)
    owed: list[Owed] = field(default_factory=list)
    unacked: dict[int, Owed] = field(default_factory=dict)
    taken: dict[int, Owed] = field(default_factory=dict)
    recent: list[tuple[float, Owed]] = field(default_factory=list)
    will: Will | None = None
    due_at: float = math.inf

    def found(self, message: Message) -> tuple[int, bool] | None:
        """Return QoS and RETAIN flag with which a message is owed; None: it is not.

        One copy for all filters, as the hub promises, with the best QoS among them (MQTT 5, 3.3.4).
        """
        wishes = [
            wish
            for pattern, wish in self.wishes.items()
            if matches(pattern, message.topic) and not (wish.no_local and message.sender == self.client)
        ]
        if not wishes:
            return None
        retain = message.retain and any(wish.as_published for wish in wishes)
        return min(message.qos, max(wish.qos for wish in wishes)), retain

    def changed(self) -> None:
        """Learn that filters changed: what was not sent may go by the old ones or by the new ones (3.10.4)."""
        for each in self.owed:
            if each.qos == {0}:
                # It goes at once, and by the filters that there were.
                continue
            found = self.found(each.message)
            if found is None or not found[0]:
                each.optional = True
            if found is not None:
                each.qos.add(found[0])

    def take(self, packet: Publish, *, resumed: bool) -> bool:
        """Judge a PUBLISH; return whether the application gets it."""
        if packet.dup and not resumed:
            raise Broken(f"{self.client} got a repetition on a connection that resumed nothing: {packet}")
        if packet.qos == 2 and packet.packet_id in self.taken:
            self._same(self.taken[packet.packet_id], packet)
            return False
        if packet.qos == 1 and packet.packet_id in self.unacked:
            self._same(self.unacked[packet.packet_id], packet)
            return True
        owed = self._next(packet)
        self.owed.remove(owed)
        if packet.qos == 1:
            self.unacked[packet.packet_id] = owed
        elif packet.qos == 2:
            self.taken[packet.packet_id] = owed
        return True

    def _same(self, known: Owed, packet: Publish) -> None:
        if not packet.dup or (packet.topic, packet.payload) != (known.message.topic, known.message.payload):
            raise Broken(f"{self.client} has {known.message} under the id of {packet}")

    def _next(self, packet: Publish) -> Owed:
        """Return what a packet brings: of its topic and QoS what comes next."""
        alike = [each for each in self.owed if self._is_alike(each, packet)]
        # Empty messages are all alike, and a message may be owed twice: the one that has to come, if there is a choice.
        wanted = [each for each in alike if not each.optional] or alike
        for each in sorted(wanted, key=lambda each: each.qos != {packet.qos}):
            passed = [] if each.stored else [other for other in self._before(each, packet) if other not in alike]
            if all(other.optional for other in passed):
                for other in passed:
                    self.owed.remove(other)
                for other in alike:
                    # Which of them it was cannot be told: the others may come as this one might have.
                    other.qos |= each.qos
                return each
        raise Broken(f"{self.client} got {packet}, expected of that topic {self._of(packet.topic)}")

    @staticmethod
    def _is_alike(owed: Owed, packet: Publish) -> bool:
        message = owed.message
        same = (message.topic, message.payload, owed.retain) == (packet.topic, packet.payload, packet.retain)
        return same and packet.qos in owed.qos

    def _before(self, owed: Owed, packet: Publish) -> list[Owed]:
        """Return what comes first, of the topic and QoS of a packet."""
        earlier = self.owed[: next(index for index, each in enumerate(self.owed) if each is owed)]
        # What may go with another QoS, since filters changed, is in no order with it.
        return [
            each
            for each in earlier
            if each.message.topic == packet.topic and each.qos == {packet.qos} and not each.stored
        ]

    def _of(self, topic: str) -> list[Owed]:
        return [each for each in self.owed if each.message.topic == topic]


class Ledger:
    """All sessions, retained messages and wills."""

    def __init__(self) -> None:
        self.now = 0.0
        self._turns = itertools.count(1)
        self.accounts: dict[str, Account] = {}
        self.retained: dict[str, Message] = {}

    # --- Messages ----------------------------------------------------------------------------------------------------

    def publish(self, message: Message, *, again: bool = False, unsure: str = "") -> None:
        """Owe a message to all who asked for it.

        Args:
            again: it is repeated with QoS 1, so that nobody has to get it twice.
            unsure: a client that may or may not have been connected.
        """
        if message.retain and message.payload:
            self.retained[message.topic] = message
        elif message.retain:
            self.retained.pop(message.topic, None)
        for account in self.accounts.values():
            found = account.found(message)
            if found is None:
                continue
            qos, retain = found
            may_miss = not qos and account.client == unsure
            if qos or account.connected or may_miss:
                account.owed.append(Owed(message, {qos}, retain, optional=again or may_miss, turn=next(self._turns)))

    def subscribe(self, client: str, pattern: str, wish: Wish) -> None:
        """Put a subscription in force, with the retained messages that it wants."""
        account = self.accounts[client]
        is_new = pattern not in account.wishes
        account.wishes[pattern] = wish
        account.changed()
        if wish.handling == 2 or (wish.handling == 1 and not is_new):
            return
        for topic, message in self.retained.items():
            if matches(pattern, topic):
                is_own = wish.no_local and message.sender == client
                account.owed.append(
                    Owed(
                        message,
                        {min(message.qos, wish.qos)},
                        True,
                        stored=True,
                        optional=is_own,
                        turn=next(self._turns),
                    )
                )

    def unsubscribe(self, client: str, pattern: str) -> bool:
        """End a subscription; tell whether it was there."""
        account = self.accounts[client]
        was_there = account.wishes.pop(pattern, None) is not None
        account.changed()
        return was_there

    def acknowledged(self, client: str, packet_id: int) -> None:
        """Learn that the hub got an acknowledgement of QoS 1."""
        account = self.accounts[client]
        owed = account.unacked.pop(packet_id, None)
        if owed is not None:
            account.recent.append((self.now, owed))

    # --- Connections -------------------------------------------------------------------------------------------------

    def arrive(self, client: str, *, clean: bool, lasts_s: float, will: Will | None) -> bool:
        """Connect a client; return whether it finds its session."""
        account = self.accounts.get(client)
        if account is not None and account.connected:
            self.leave(client, says_will=True)
            account = self.accounts.get(client)
        if account is not None and clean:
            self._end(account)
            account = None
        present = account is not None
        if account is None:
            account = self.accounts[client] = Account(client, lasts_s)
        account.connected, account.lasts_s, account.will = True, lasts_s, will
        account.ends_at = account.due_at = math.inf
        return present

    def leave(self, client: str, *, says_will: bool, unread: bool = False) -> None:
        """End a connection; `unread`: what was sent last may not have been read."""
        account = self.accounts[client]
        account.connected = False
        account.owed = [each for each in account.owed if each.qos != {0}]
        for each in account.owed:
            each.late = each.late or unread
            each.optional = each.optional or 0 in each.qos
        if not says_will:
            account.will = None
        account.ends_at = self.now + account.lasts_s
        if account.will is not None:
            account.due_at = self.now + min(account.will.delay_s, account.lasts_s)
        self._happen(self.now, unsure=client)

    def crash(self, grace_s: float) -> None:
        """Start the hub again, which was killed: no session heard the end of its connection."""
        for account in list(self.accounts.values()):
            if not account.lasts_s:
                # Nothing of it was written down, its will neither.
                del self.accounts[account.client]
                continue
            if account.connected:
                will = account.will
                account.will = None
                self.leave(account.client, says_will=True, unread=True)
                if will is not None:
                    account.will, account.due_at = will, self.now + max(will.delay_s, grace_s)
            if account.will is not None:
                # Who said it is not written down: No Local does not hold for a will over a crash.
                account.will = Will(replace(account.will.message, sender=""), account.will.delay_s)
            again = list(account.unacked.values())
            for each in again:
                # What no filter needs any more is kept no longer than its namespace says.
                found = account.found(each.message)
                each.optional = each.message.expires_at < math.inf or found is None or not found[0]
                each.late = True
            for time, each in account.recent:
                if time > self.now - UNWRITTEN_S:
                    each.optional = each.late = True
                    again.append(each)
            account.unacked, account.recent = {}, []
            account.owed = sorted(again, key=lambda each: each.turn) + account.owed

    # --- Time --------------------------------------------------------------------------------------------------------

    def deadlines(self) -> Iterator[float]:
        """Give every time at which something happens by itself."""
        for account in self.accounts.values():
            yield from (account.ends_at, account.due_at)
            for each in account.owed:
                yield each.message.expires_at
        for message in self.retained.values():
            yield message.expires_at

    def pass_time(self, now: float) -> None:
        """Do what falls due until now."""
        self.now = now
        self._happen(now)
        for account in self.accounts.values():
            for each in account.owed:
                if each.message.expires_at <= now and each.late:
                    each.optional = True
            account.owed = [each for each in account.owed if each.message.expires_at > now or each.late]
        self.retained = {topic: message for topic, message in self.retained.items() if message.expires_at > now}

    def _happen(self, now: float, unsure: str = "") -> None:
        while True:
            events = [(min(each.due_at, each.ends_at), each) for each in self.accounts.values()]
            due = [(at, each) for at, each in events if at <= now and not each.connected]
            if not due:
                return
            _, account = min(due, key=lambda found: (found[0], found[1].client))
            if account.due_at <= account.ends_at and account.will is not None:
                self._say(account, unsure)
            if account.ends_at <= now:
                self._end(account)

    def _say(self, account: Account, unsure: str = "") -> None:
        will, account.will, account.due_at = account.will, None, math.inf
        if will is not None:
            self.publish(will.message, unsure=unsure)

    def _end(self, account: Account) -> None:
        """End a session; a will that still waits is said by that (MQTT 5, 3.1.3.2.2)."""
        del self.accounts[account.client]
        self._say(account)
