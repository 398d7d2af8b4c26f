"""Locks that hold on all nodes."""

from chappe.model.error_codes import Code
from tests.hub.cluster.rig import GONE_S, Nodes, ended


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
