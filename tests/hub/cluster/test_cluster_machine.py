"""Two to four nodes on one engine under all that may happen: what holds at every step, and what is left at the end."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Final

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chappe.hub.cluster import Cluster
from chappe.hub.cluster.rooms import COUNT_INTERVAL_S
from chappe.model.frame import Frame
from tests.hub.cluster.rig import GONE_S, Nodes

NAMES: Final = ("Ada", "Blaise", "Charles")
CHANNELS: Final = ("chat/a", "chat/b")
RESOURCES: Final = ("x", "y")
MOST_NODES: Final = 4
#: How long a client does nothing after it asked, seconds: less than an answer takes, or long enough.
PAUSES: Final = st.sampled_from((0.0, 0.0015, 0.1, 0.1, 1.0))
#: A node that was cut off, or that missed something, may be believed again after so many seconds.
DOUBT_S: Final = GONE_S + 2 * COUNT_INTERVAL_S
#: Until every answer has come, everybody knows who is gone and every list was told twice.
SETTLE_S: Final = 2 * DOUBT_S


class Held(msgspec.Struct, eq=False):
    """A lock that a client was told it has."""

    user: User
    token: int
    until: float | None


class User:
    """A client, what it was told and what it asked."""

    def __init__(self, machine: ClusterMachine, node: int) -> None:
        self.node = node
        self.client = machine.nodes.worlds[node].client()
        self.id = ""
        self.handle = ""
        self.asked: dict[int, dict[str, Any]] = {}
        self.answered: set[int] = set()
        self._machine = machine
        self.client.link.on_frame = self._hear

    @property
    def is_over(self) -> bool:
        return self.client.session.is_over

    def ask(self, kind: str, pause_s: float, **fields: Any) -> None:
        number = len(self.asked) + 1
        self.asked[number] = {"type": kind, **fields}
        self.client.send({"type": kind, "id": number, **fields})
        self._machine.nodes.pass_time(pause_s)

    def _hear(self, frame: Frame) -> None:
        message = self.client.decode(frame)
        number = message.get("id")
        if number is None or message["type"] not in ("reply", "error"):
            return
        assert number not in self.answered, f"a second answer: {message}"
        self.answered.add(number)
        self._machine.heard(self, self.asked[number], message)


class ClusterMachine(RuleBasedStateMachine):
    """Clients come, go, claim, lock and resume while nodes are cut off, killed and added and messages are lost."""

    @initialize()
    def begin(self) -> None:
        self.nodes = Nodes()
        self.killed: set[int] = set()
        self.doubted: dict[int, float] = {}
        self.users: list[User] = []
        self.ids: dict[str, str] = {}
        self.tokens: dict[str, int] = {}
        self.held: dict[str, list[Held]] = {}
        for node, name in enumerate(NAMES[:2]):
            user = self._user_at(node)
            assert user is not None
            user.ask("connect", 0.1, name=name)
            for channel in CHANNELS:
                user.ask("subscribe", 0.1, channel=channel)

    # --- Clients -----------------------------------------------------------------------------------------------------

    @rule(node=st.integers(0, MOST_NODES - 1), name=st.sampled_from(("", *NAMES)), pause_s=PAUSES)
    def connect(self, node: int, name: str, pause_s: float) -> None:
        user = self._user_at(node)
        if user is not None:
            user.ask("connect", pause_s, **({"name": name} if name else {}))

    @rule(
        who=st.integers(0, 9), node=st.integers(0, MOST_NODES - 1), name=st.sampled_from(("", *NAMES)), pause_s=PAUSES
    )
    def resume(self, who: int, node: int, name: str, pause_s: float) -> None:
        former = self._of(who, any_state=True)
        if former is not None and former.handle:
            user = self._user_at(node)
            if user is not None:
                user.ask("connect", pause_s, resume=former.handle, **({"name": name} if name else {}))

    @rule(
        who=st.integers(0, 9),
        resource=st.sampled_from(RESOURCES),
        ttl=st.sampled_from((0, 0, 2, 30)),
        wait=st.sampled_from((0, 0, 4, 60)),
        pause_s=PAUSES,
    )
    def lock(self, who: int, resource: str, ttl: int, wait: int, pause_s: float) -> None:
        user = self._of(who)
        if user is not None:
            user.ask("lock", pause_s, resource=resource, ttl=ttl, wait=wait)

    @rule(
        resource=st.sampled_from(RESOURCES),
        ttl=st.sampled_from((0, 0, 2, 30)),
        wait=st.sampled_from((0, 4, 60)),
        pause_s=PAUSES,
    )
    def contend(self, resource: str, ttl: int, wait: int, pause_s: float) -> None:
        """Let everybody ask for a lock at once."""
        for user in self.users:
            if not user.is_over:
                user.ask("lock", 0.0, resource=resource, ttl=ttl, wait=wait)
        self.nodes.pass_time(pause_s)

    @rule(who=st.integers(0, 9), resource=st.sampled_from(RESOURCES), is_holder=st.booleans(), pause_s=PAUSES)
    def unlock(self, who: int, resource: str, is_holder: bool, pause_s: float) -> None:
        held = [each.user for each in self.held.get(resource, ()) if not each.user.is_over]
        user = held[-1] if held and is_holder else self._of(who)
        if user is not None:
            user.ask("unlock", pause_s, resource=resource)

    @rule(who=st.integers(0, 9), channel=st.sampled_from(CHANNELS), pause_s=PAUSES)
    def subscribe(self, who: int, channel: str, pause_s: float) -> None:
        user = self._of(who)
        if user is not None:
            is_in = user.client.session.subscription(channel) is not None
            user.ask("unsubscribe" if is_in else "subscribe", pause_s, channel=channel)

    @rule(who=st.integers(0, 9))
    def leave(self, who: int) -> None:
        user = self._of(who)
        if user is not None:
            user.client.cut()

    # --- Nodes and time ----------------------------------------------------------------------------------------------

    @rule(node=st.integers(0, MOST_NODES - 1), chance=st.integers(0, 3))
    def cut(self, node: int, chance: int) -> None:
        if self._is_there(node) and not chance:
            self.doubted[node] = float("inf")
            self.nodes.way(node).cut()

    @rule(node=st.integers(0, MOST_NODES - 1))
    def restore(self, node: int) -> None:
        if self._is_there(node) and self.nodes.way(node).is_cut:
            self.doubted[node] = self.nodes.clock.now() + DOUBT_S
            self.nodes.way(node).restore()

    @precondition(lambda self: len(self.nodes.worlds) - len(self.killed) > 1)
    @rule(node=st.integers(0, MOST_NODES - 1), chance=st.integers(0, 7))
    def kill(self, node: int, chance: int) -> None:
        if self._is_there(node) and not chance:
            self.nodes.kill(node)
            self.killed.add(node)
            self.users = [user for user in self.users if user.node != node]
            for held in self.held.values():
                held[:] = [each for each in held if each.user.node != node or each.until is not None]

    @precondition(lambda self: len(self.nodes.worlds) < MOST_NODES)
    @rule()
    def add(self) -> None:
        self.nodes.add()

    @rule(node=st.integers(0, MOST_NODES - 1), count=st.integers(0, 3))
    def lose(self, node: int, count: int) -> None:
        if not self._is_there(node) or not count:
            return
        left = count

        def loses(publication: Any) -> bool:
            nonlocal left
            if not left or not publication.channel.startswith("$hub/"):
                return False
            left -= 1
            self.doubted[node] = max(self.doubted.get(node, 0.0), self.nodes.clock.now() + DOUBT_S)
            return True

        self.nodes.way(node).loses = loses

    @rule(seconds=st.sampled_from((0.0005, 0.001, 0.0015, 0.002, 0.003, 0.01, 0.1, 1.0, 3.0, 13.0, GONE_S)))
    def pass_time(self, seconds: float) -> None:
        self.nodes.pass_time(seconds)

    # --- What holds --------------------------------------------------------------------------------------------------

    def heard(self, user: User, asked: dict[str, Any], message: dict[str, Any]) -> None:
        """Take an answer at the moment it goes out."""
        if asked["type"] == "connect" and message["type"] == "reply":
            user.id, user.handle = message["session"], message["resume"]
            if message["resumed"]:
                assert message["session"] == self.ids[asked["resume"]]
            self.ids[user.handle] = message["session"]
        elif asked["type"] == "lock" and message["type"] == "reply":
            self._granted(user, asked, message)
        elif asked["type"] == "unlock":
            held = self.held.get(asked["resource"], [])
            if message["type"] == "reply" or message["code"] in (108, 118):
                held[:] = [each for each in held if each.user is not user]

    def _granted(self, user: User, asked: dict[str, Any], message: dict[str, Any]) -> None:
        resource, token = asked["resource"], message["token"]
        assert token >= self.tokens.get(resource, 0), "a smaller token after a greater one"
        self.tokens[resource] = token
        held = self.held.setdefault(resource, [])
        held[:] = [each for each in held if each.user is not user]
        assert all(each.token != token for each in held), "one token for two"
        now = self.nodes.clock.now()
        held.append(Held(user, token, now + asked["ttl"] if asked["ttl"] else None))
        self._nobody_shares(resource)

    def _nobody_shares(self, resource: str) -> None:
        now = self.nodes.clock.now()
        in_force = [
            each
            for each in self.held.get(resource, [])
            if not each.user.is_over
            and (each.until > now if each.until is not None else self.doubted.get(each.user.node, 0.0) <= now)
        ]
        assert len(in_force) <= 1, f"{len(in_force)} have {resource} at once"

    @invariant()
    def nothing_goes_wrong(self) -> None:
        for world in self.nodes.worlds:
            assert world.errors == []
        for resource in RESOURCES:
            self._nobody_shares(resource)

    def teardown(self) -> None:
        if not hasattr(self, "nodes"):
            return
        for number in self._alive():
            self.nodes.way(number).loses = lambda publication: False
            if self.nodes.way(number).is_cut:
                self.nodes.way(number).restore()
        self.nodes.pass_time(SETTLE_S)
        self.nothing_goes_wrong()
        self._everybody_was_answered()
        self._names_are_unique()
        self._nodes_agree_who_is_where()
        for user in self.users:
            if not user.is_over:
                user.client.cut()
        self.nodes.pass_time(SETTLE_S)
        self._nothing_is_left()
        self._everything_is_free()
        self.nothing_goes_wrong()

    def _everybody_was_answered(self) -> None:
        for user in self.users:
            assert user.is_over or user.answered == set(user.asked), "a command without an answer"

    def _names_are_unique(self) -> None:
        names = [user.client.session.name for user in self.users if not user.is_over and user.client.session.name]
        assert len(names) == len(set(names))
        ids = [user.client.session.id for user in self.users if not user.is_over]
        assert len(ids) == len(set(ids))

    def _nodes_agree_who_is_where(self) -> None:
        for channel in CHANNELS:
            expected = sorted(
                user.client.session.id
                for user in self.users
                if not user.is_over and user.client.session.subscription(channel) is not None
            )
            for number in self._alive():
                asker = self.nodes.worlds[number].client()
                found = asker.ask("presence", channel=channel)["members"]
                assert sorted(member["session"] for member in found) == expected
                asker.cut()

    def _nothing_is_left(self) -> None:
        for cluster in self._clusters():
            hub = cluster._hub
            names, locking, bus = cluster.names, cluster.locking, cluster.bus
            left: dict[str, Sized] = {
                "sessions": hub.sessions,
                "names": hub.names,
                "parked": hub.resumption._parked,
                "handles": hub.resumption._live,
                "former handles": hub.resumption._former,
                "claims": names._claims,
                "claims by number": names._sessions,
                "claims on their way": names._pending,
                "locks": locking.held,
                "lines": locking.held.lines,
                "unsure": locking._unsure,
                "rooms": cluster.rooms._rooms,
                "given": cluster.heirs.given,
                "parts": bus._parts,
                "questions": bus._asked,
            }
            assert {name: len(table) for name, table in left.items() if len(table)} == {}
        # What is on its way between nodes is left of nobody, and all of them may beat in this very moment.
        on_their_way = sum(len(way._agenda) for way in self.nodes.engine.nodes)
        # The beat, two renewals and the count.
        assert self.nodes.clock.pending - on_their_way <= 4 * len(self.nodes.worlds) + 8

    def _everything_is_free(self) -> None:
        for number in self._alive():
            for name in NAMES:
                client = self.nodes.worlds[number].client()
                assert client.ask("connect", name=name)["type"] == "reply"
                client.cut()
            client = self.nodes.worlds[number].client()
            for resource in RESOURCES:
                assert client.ask("lock", resource=resource, ttl=0)["type"] == "reply"
            client.cut()
            self.nodes.pass_time(1)

    # --- Who is there ------------------------------------------------------------------------------------------------

    def _is_there(self, node: int) -> bool:
        return node < len(self.nodes.worlds) and node not in self.killed

    def _alive(self) -> list[int]:
        return [number for number in range(len(self.nodes.worlds)) if number not in self.killed]

    def _clusters(self) -> list[Cluster]:
        found = [self.nodes.worlds[number].hub.cluster for number in self._alive()]
        return [cluster for cluster in found if cluster is not None]

    def _user_at(self, node: int) -> User | None:
        if not self._is_there(node):
            return None
        user = User(self, node)
        self.users.append(user)
        return user

    def _of(self, who: int, any_state: bool = False) -> User | None:
        found = [user for user in self.users if any_state or not user.is_over]
        return found[-1 - who % len(found)] if found else None


TestClusterMachine = pytest.mark.slow(ClusterMachine.TestCase)
TestClusterMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
