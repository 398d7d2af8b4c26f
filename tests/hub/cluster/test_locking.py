"""Locks that hold on all nodes."""

from chappe.hub.cluster.locking import SharedLocking
from chappe.hub.locks import DEFAULT_LOCKS_PER_OWNER
from chappe.model.error_codes import Code
from tests.hub.cluster.rig import GONE_S, Nodes, ended, overwrite
from tests.hub.harness import World


def test_a_lock_is_denied_on_another_node_and_names_its_owner(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, other = a.client(name="Ada B"), b.client(name="Blaise P")
    granted = holder.ask("lock", resource="doc", ttl=30)
    assert granted["owner"] == holder.session.id
    denied = other.ask("lock", resource="doc", ttl=30)
    assert (denied["code"], denied["detail"]["owner"]) == (Code.LOCKED_BY_ANOTHER, holder.session.id)
    assert holder.ask("unlock", resource="doc")["type"] == "reply"
    assert other.ask("lock", resource="doc")["token"] > granted["token"]


def test_a_holder_renews_its_lease_and_keeps_its_token(nodes: Nodes) -> None:
    holder = nodes.worlds[0].client()
    first = holder.ask("lock", resource="doc", ttl=10)
    nodes.pass_time(5)
    second = holder.ask("lock", resource="doc", ttl=10)
    assert second["token"] == first["token"]
    assert second["expires"] > first["expires"]


def test_who_waits_on_another_node_gets_the_lock_when_it_is_free(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, waiter = a.client(), b.client()
    holder.ask("lock", resource="doc", ttl=600)
    number = waiter.command("lock", resource="doc", ttl=30, wait=60)
    nodes.pass_time(1)
    assert waiter.answers(number) == []
    holder.ask("unlock", resource="doc")
    nodes.pass_time(0.1)
    assert waiter.answer(number)["owner"] == waiter.session.id


def test_who_waits_on_another_node_gets_the_lock_when_its_lease_ends(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, waiter = a.client(), b.client()
    holder.ask("lock", resource="doc", ttl=5)
    number = waiter.command("lock", resource="doc", ttl=30, wait=60)
    nodes.pass_time(4)
    assert waiter.answers(number) == []
    nodes.pass_time(3)
    assert waiter.answer(number)["owner"] == waiter.session.id


def test_a_wait_in_vain_ends_with_the_owner(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, waiter = a.client(), b.client()
    holder.ask("lock", resource="doc", ttl=600)
    number = waiter.command("lock", resource="doc", wait=2)
    nodes.pass_time(3)
    assert waiter.answer(number)["detail"]["owner"] == holder.session.id


def test_a_lock_without_a_lease_ends_with_its_session(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client()
    holder.ask("lock", resource="doc", ttl=0)
    holder.cut()
    nodes.pass_time(0.1)
    assert b.client().ask("lock", resource="doc")["type"] == "reply"


def test_a_lease_outlives_a_killed_node_and_a_lock_without_one_does_not(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, other = a.client(), b.client()
    holder.ask("lock", resource="leased", ttl=60)
    holder.ask("lock", resource="held", ttl=0)
    nodes.kill(0)
    nodes.beat_until(GONE_S)
    assert other.ask("lock", resource="leased")["code"] == Code.LOCKED_BY_ANOTHER
    assert other.ask("lock", resource="held")["type"] == "reply"
    nodes.beat_until(60)
    assert other.ask("lock", resource="leased")["type"] == "reply"


def test_who_lost_a_lock_while_its_node_was_cut_off_is_told_by_a_close(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client()
    holder.ask("lock", resource="held", ttl=0)
    nodes.kill(0)
    nodes.beat_until(GONE_S)
    b.client().ask("lock", resource="held", ttl=0)
    nodes.way(0).restore()
    nodes.beat_until(5)
    assert ended(holder) == Code.INSUFFICIENT_STATE


def test_two_who_ask_at_once_never_both_have_a_lock(nodes: Nodes) -> None:
    a, b = nodes.worlds
    tokens: list[int] = []
    for _ in range(20):
        first, second = a.client(), b.client()
        one = first.command("lock", resource="doc", ttl=0)
        two = second.command("lock", resource="doc", ttl=0)
        nodes.pass_time(0.1)
        kinds = sorted([first.answer(one)["type"], second.answer(two)["type"]])
        assert kinds == ["error", "reply"]
        tokens += [each["token"] for each in (first.answer(one), second.answer(two)) if each["type"] == "reply"]
        first.cut()
        second.cut()
        nodes.pass_time(0.1)
    assert tokens == sorted(set(tokens))


def test_a_lock_of_a_session_that_ended_without_the_engine_is_free(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client()
    holder.ask("lock", resource="doc", ttl=0)
    nodes.way(0).cut()
    holder.cut()
    nodes.beat_until(3)
    nodes.way(0).restore()
    nodes.beat_until(3)
    assert b.client().ask("lock", resource="doc")["type"] == "reply"
    assert locking(nodes, 0)._unsure == {}
    assert len(locking(nodes, 0).held) == 0


def test_a_lock_whose_answer_was_lost_is_given_back(nodes: Nodes) -> None:
    a, b = nodes.worlds
    client = a.client()
    client.ask("connect")
    number = client.command("lock", resource="doc", ttl=0)
    # It is stored, and the answer on its way.
    nodes.pass_time(0.0035)
    nodes.way(0).cut()
    nodes.pass_time(0.1)
    assert client.answer(number)["code"] == Code.NOT_AVAILABLE
    nodes.way(0).restore()
    nodes.beat_until(3)
    assert b.client().ask("lock", resource="doc")["type"] == "reply"


def test_a_resumed_session_gets_a_lock_of_its_own(nodes: Nodes) -> None:
    a, b = nodes.worlds
    old = a.client()
    connected = old.ask("connect")
    first = old.ask("lock", resource="doc", ttl=0)
    new = a.client()
    new.send({"type": "connect", "id": 1, "resume": connected["resume"]})
    new.send({"type": "lock", "id": 2, "resource": "doc", "ttl": 0, "wait": 5})
    nodes.pass_time(1)
    second = new.answer(2)
    assert second["token"] > first["token"]
    assert b.client().ask("lock", resource="doc")["code"] == Code.LOCKED_BY_ANOTHER


def test_leases_that_are_over_do_not_count_as_locks_of_a_session(nodes: Nodes) -> None:
    client = nodes.worlds[0].client()
    for number in range(DEFAULT_LOCKS_PER_OWNER):
        client.ask("lock", resource=f"doc {number}", ttl=1)
        nodes.pass_time(2)
    assert client.ask("lock", resource="one more")["type"] == "reply"
    assert len(locking(nodes, 0).held) == 1


def test_who_waits_gets_a_lock_although_the_word_that_it_is_free_was_lost(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, waiter = a.client(), b.client()
    holder.ask("lock", resource="doc", ttl=0)
    number = waiter.command("lock", resource="doc", ttl=30, wait=60)
    nodes.pass_time(1)
    nodes.way(1).loses = lambda publication: b"lock.free" in publication.payload
    holder.ask("unlock", resource="doc")
    nodes.pass_time(6)
    assert waiter.answer(number)["owner"] == waiter.session.id


def test_all_who_wait_on_a_node_get_a_lock_as_leases_end(nodes: Nodes) -> None:
    a, b = nodes.worlds
    a.client().ask("lock", resource="doc", ttl=2)
    waiters = [b.client() for _ in range(3)]
    numbers = [waiter.command("lock", resource="doc", ttl=2, wait=60) for waiter in waiters]
    nodes.beat_until(12)
    tokens = [waiter.answer(number)["token"] for waiter, number in zip(waiters, numbers, strict=True)]
    assert tokens == sorted(set(tokens))
    assert locking(nodes, 1).held.lines == {}


def test_a_new_node_that_hears_nothing_takes_nothing_from_others(nodes: Nodes) -> None:
    holder = nodes.worlds[0].client()
    holder.ask("lock", resource="doc", ttl=0)
    number = len(nodes.worlds)
    nodes.engine.broker().loses = lambda publication: publication.channel.startswith("$hub/")
    deaf = nodes.engine.nodes.pop()
    third = World(clock=nodes.clock, wrap=lambda _: deaf, node="node0003", seed=3)
    nodes.engine.nodes.append(deaf)
    assert len(nodes.engine.nodes) == number + 1
    nodes.beat_until(GONE_S)
    assert third.client().ask("lock", resource="doc")["code"] == Code.LOCKED_BY_ANOTHER


def test_locks_that_the_engine_forgot_are_written_again(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client()
    tokens = [holder.ask("lock", resource=resource, ttl=ttl)["token"] for resource, ttl in (("x", 0), ("y", 60))]
    for resource in ("x", "y"):
        overwrite(nodes, f"lock/{resource}", b"")
    nodes.way(0).interrupt()
    nodes.pass_time(0.1)
    for resource, token in zip(("x", "y"), tokens, strict=True):
        assert b.client().ask("lock", resource=resource)["code"] == Code.LOCKED_BY_ANOTHER
        assert holder.ask("lock", resource=resource, ttl=30)["token"] == token


def locking(nodes: Nodes, number: int) -> SharedLocking:
    cluster = nodes.worlds[number].hub.cluster
    assert cluster is not None
    return cluster.locking
