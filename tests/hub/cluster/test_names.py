"""Claimed names are unique among all nodes."""

from collections.abc import Callable

from chappe.hub.contracts import Read, ReadResult
from chappe.model.error_codes import Code
from tests.hub.cluster.rig import GONE_S, Nodes, ended, overwrite, patiently


def test_a_name_claimed_on_one_node_is_in_use_on_the_other(nodes: Nodes) -> None:
    a, b = nodes.worlds
    a.client(name="Ada B")
    other = b.client()
    answer = other.ask("connect", name="ada b")
    assert answer["code"] == Code.NAME_IN_USE
    assert other.session.name == ""
    assert other.ask("connect", name="Ada C")["type"] == "reply"


def test_a_name_is_free_on_all_nodes_when_its_session_ends(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client(name="Ada B")
    holder.cut()
    nodes.pass_time(0.1)
    assert b.client().ask("connect", name="Ada B")["type"] == "reply"


def test_a_dead_holder_on_another_node_loses_its_name_after_a_probe(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client(name="Ada B")
    holder.link.alive = False
    assert patiently(b.client(), "connect", name="Ada B")["type"] == "reply"
    assert holder.session.is_over


def test_of_two_who_claim_a_name_at_once_on_two_nodes_one_gets_it(nodes: Nodes) -> None:
    a, b = nodes.worlds
    first, second = a.client(), b.client()
    first.send({"type": "connect", "id": 1, "name": "Ada B"})
    second.send({"type": "connect", "id": 1, "name": "Ada B"})
    nodes.pass_time(5)
    kinds = sorted([first.answer(1)["type"], second.answer(1)["type"]])
    assert kinds == ["error", "reply"]


def test_names_of_a_killed_node_are_free_after_its_time(nodes: Nodes) -> None:
    a, b = nodes.worlds
    a.client(name="Ada B")
    nodes.kill(0)
    early = b.client()
    assert patiently(early, "connect", name="Ada B")["code"] == Code.NAME_IN_USE
    nodes.beat_until(GONE_S)
    assert early.ask("connect", name="Ada B")["type"] == "reply"


def test_a_node_that_comes_back_gives_up_the_names_it_lost_and_keeps_the_others(nodes: Nodes) -> None:
    a, b = nodes.worlds
    lost, kept = a.client(name="Ada B"), a.client(name="Blaise P")
    nodes.kill(0)
    nodes.beat_until(GONE_S)
    assert b.client().ask("connect", name="Ada B")["type"] == "reply"
    nodes.way(0).restore()
    nodes.beat_until(5)
    assert lost.session.is_over
    assert ended(lost) == Code.NAME_IN_USE_CLOSE
    assert not kept.session.is_over
    assert b.client().ask("connect", name="Blaise P")["code"] == Code.NAME_IN_USE


def test_a_user_who_arrives_displaces_who_claimed_the_name_elsewhere(nodes: Nodes) -> None:
    a, b = nodes.worlds
    impostor = a.client(name="ada")
    b.client(token="ada")
    nodes.pass_time(0.1)
    assert ended(impostor) == Code.NAME_IN_USE_CLOSE
    assert a.client().ask("connect", name="ADA")["code"] == Code.NAME_IN_USE


def test_without_the_engine_no_name_is_given(nodes: Nodes) -> None:
    a, _ = nodes.worlds
    nodes.way(0).cut()
    client = a.client()
    client.send({"type": "connect", "id": 1, "name": "Ada B"})
    nodes.pass_time(5)
    assert client.answer(1)["code"] == Code.NOT_AVAILABLE


def test_a_name_that_was_let_go_without_the_engine_is_free_elsewhere(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client(name="Ada B")
    nodes.way(0).cut()
    holder.cut()
    nodes.beat_until(2)
    nodes.way(0).restore()
    nodes.beat_until(2)
    assert patiently(b.client(), "connect", name="Ada B")["type"] == "reply"


def test_a_name_whose_answer_was_lost_is_free_elsewhere(nodes: Nodes) -> None:
    a, b = nodes.worlds
    client = a.client()
    number = client.command("connect", name="Ada B")
    # Asked, read, stored; the answer to that is still on its way.
    nodes.pass_time(0.0085)
    assert nodes.worlds[0].hub.cluster is not None
    nodes.way(0).cut()
    nodes.pass_time(0.1)
    assert client.answer(number)["code"] == Code.NOT_AVAILABLE
    nodes.way(0).restore()
    assert patiently(b.client(), "connect", name="Ada B")["type"] == "reply"


def test_a_record_that_another_program_wrote_is_no_claim(nodes: Nodes) -> None:
    a, b = nodes.worlds
    overwrite(nodes, "name/ada b", b"\x01")
    overwrite(nodes, "lock/doc", b"\xc1")
    client = b.client()
    assert client.ask("connect", name="Ada B")["type"] == "reply"
    assert client.ask("lock", resource="doc")["type"] == "reply"
    assert a.client().ask("connect", name="Ada B")["code"] == Code.NAME_IN_USE
    assert (a.errors, b.errors) == ([], [])


def test_a_node_that_was_not_heard_by_another_learns_it(nodes: Nodes) -> None:
    a, b = nodes.worlds
    lost, kept = a.client(name="Ada B"), a.client(name="Blaise P")
    lost.ask("lock", resource="doc", ttl=0)
    # Of all that node A sends nothing reaches B, although A hears itself.
    nodes.way(1).loses = lambda publication: publication.payload.find(b"node0001") > 0
    nodes.beat_until(GONE_S)
    newcomer = b.client()
    assert patiently(newcomer, "connect", name="Ada B")["type"] == "reply"
    assert newcomer.ask("lock", resource="doc")["type"] == "reply"
    nodes.way(1).loses = lambda publication: False
    nodes.beat_until(5)
    assert lost.session.is_over
    assert not kept.session.is_over


def test_names_that_the_engine_forgot_are_written_again(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client(name="Ada B")
    overwrite(nodes, "name/ada b", b"")
    nodes.way(0).interrupt()
    nodes.pass_time(0.1)
    assert b.client().ask("connect", name="Ada B")["code"] == Code.NAME_IN_USE
    assert not holder.session.is_over


def test_a_node_that_comes_back_asks_for_its_names_a_few_at_a_time(nodes: Nodes) -> None:
    a, b = nodes.worlds
    for number in range(300):
        a.client().send({"type": "connect", "id": 1, "name": f"user {number}"})
    nodes.pass_time(2)
    way = nodes.way(0)
    written = b.hub.cluster.records.changes if b.hub.cluster else 0
    busy, most = 0, 0
    read = way.read

    def count(request: Read, done: Callable[[ReadResult], None]) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)

        def answered(result: ReadResult) -> None:
            nonlocal busy
            busy -= 1
            done(result)

        read(request, answered)

    way.read = count  # type: ignore[method-assign]
    way.interrupt()
    nodes.pass_time(5)
    assert 0 < most <= 64
    assert busy == 0
    assert b.hub.cluster is not None
    assert b.hub.cluster.records.changes == written


def test_two_who_claimed_one_name_while_their_nodes_had_not_heard_of_each_other_do_not_both_keep_it(
    nodes: Nodes,
) -> None:
    old = nodes.worlds[0]
    nodes.beat_until(GONE_S)
    nodes.way(0).cut()
    nodes.beat_until(GONE_S)
    late = nodes.add()
    first = late.client()
    assert patiently(first, "connect", name="Ada B")["type"] == "reply"
    nodes.beat_until(GONE_S)
    # The old node is back and takes the record before it has heard of the new one at all.
    nodes.way(0).restore()
    second = old.client()
    asked = second.command("connect", name="Ada B")
    nodes.beat_until(GONE_S)
    assert second.answer(asked)["type"] == "reply"
    assert (ended(first), ended(second)) == (Code.NAME_IN_USE_CLOSE, None)
