"""Presence over all nodes."""

from chappe.hub.cluster.rooms import COUNT_INTERVAL_S
from tests.hub.cluster.rig import GONE_S, Nodes, joined, names_in, patiently


def test_members_of_all_nodes_are_listed_and_told(nodes: Nodes) -> None:
    a, b = nodes.worlds
    ada = joined(a.client(name="Ada B"))
    blaise = joined(b.client(name="Blaise P"))
    nodes.pass_time(0.1)
    assert names_in(ada) == names_in(blaise) == ["Ada B", "Blaise P"]
    assert [each["member"]["name"] for each in ada.take() if each["type"] == "join"] == ["Ada B", "Blaise P"]
    blaise.cut()
    nodes.pass_time(0.1)
    assert names_in(ada) == ["Ada B"]
    assert [each["member"]["name"] for each in ada.take() if each["type"] == "leave"] == ["Blaise P"]


def test_who_comes_later_is_told_who_is_there_on_other_nodes(nodes: Nodes) -> None:
    a, b = nodes.worlds
    joined(a.client(name="Ada B"))
    late = joined(b.client(name="Blaise P"))
    nodes.pass_time(0.1)
    told = late.take()
    state = next(each for each in told if each["type"] == "presence")
    arrived = [member["name"] for member in state["members"]]
    arrived += [each["member"]["name"] for each in told if each["type"] == "join"]
    assert sorted(arrived) == ["Ada B", "Blaise P"]


def test_a_node_without_a_member_asks_the_others(nodes: Nodes) -> None:
    a, b = nodes.worlds
    joined(a.client(name="Ada B"))
    assert names_in(b.client()) == ["Ada B"]


def test_a_user_with_sessions_on_two_nodes_joins_and_leaves_once(nodes: Nodes) -> None:
    a, b = nodes.worlds
    watcher = joined(a.client())
    first, second = joined(a.client(token="ada")), joined(b.client(token="ada"))
    nodes.pass_time(0.1)
    first.cut()
    nodes.pass_time(0.1)
    assert "Ada" in names_in(watcher)
    second.cut()
    nodes.pass_time(0.1)
    changes = [(each["type"], each["member"]["user"]) for each in watcher.take() if each["type"] in ("join", "leave")]
    assert [change for change in changes if change[1] == "Ada"] == [("join", "Ada"), ("leave", "Ada")]


def test_members_of_a_killed_node_leave_after_its_time(nodes: Nodes) -> None:
    a, b = nodes.worlds
    watcher, blaise = joined(a.client(name="Ada B")), joined(b.client(name="Blaise P"))
    nodes.pass_time(0.1)
    nodes.kill(1)
    nodes.beat_until(GONE_S)
    assert names_in(watcher) == ["Ada B"]
    nodes.way(1).restore()
    nodes.beat_until(5)
    # Its feed had been interrupted, so that it was told to subscribe again.
    assert "unsubscribed" in [each["type"] for each in blaise.take()]
    joined(blaise)
    nodes.pass_time(0.1)
    assert names_in(watcher) == ["Ada B", "Blaise P"]


def test_a_message_that_was_lost_is_made_good_by_the_next_count(nodes: Nodes) -> None:
    a, b = nodes.worlds
    watcher = joined(a.client(name="Ada B"))
    joined(b.client(name="Blaise P"))
    nodes.pass_time(0.1)
    nodes.way(0).is_cut = True
    quiet = b.client()
    patiently(quiet, "connect", name="Charles B")
    joined(quiet)
    # Nobody tells node A that it missed something.
    nodes.way(0).is_cut = False
    assert names_in(watcher) == ["Ada B", "Blaise P"]
    nodes.beat_until(COUNT_INTERVAL_S + 2)
    assert names_in(watcher) == ["Ada B", "Blaise P", "Charles B"]
    quiet.cut()
    nodes.pass_time(0.1)
    assert names_in(watcher) == ["Ada B", "Blaise P"]


def test_a_room_of_many_comes_over_in_pages(nodes: Nodes) -> None:
    a, b = nodes.worlds
    for number in range(450):
        joined(a.client(name=f"member {number}"), "default/many")
    late = joined(b.client(), "default/many")
    nodes.pass_time(0.1)
    assert late.ask("presence", channel="default/many")["count"] == 451
    assert nodes.add().client().ask("presence", channel="default/many")["count"] == 451


def test_a_last_leave_that_was_lost_is_noticed_within_two_intervals(nodes: Nodes) -> None:
    a, b = nodes.worlds
    watcher, blaise = joined(a.client(name="Ada B")), joined(b.client(name="Blaise P"))
    nodes.pass_time(3)
    nodes.way(0).loses = lambda publication: publication.channel.startswith("$hub/room/")
    blaise.cut()
    nodes.pass_time(0.1)
    nodes.way(0).loses = lambda publication: False
    assert names_in(watcher) == ["Ada B", "Blaise P"]
    nodes.beat_until(2 * COUNT_INTERVAL_S + 2)
    assert names_in(watcher) == ["Ada B"]


def test_a_last_leave_that_was_lost_is_made_good_by_who_comes_next_on_that_node(nodes: Nodes) -> None:
    a, b = nodes.worlds
    watcher, blaise = joined(a.client(name="Ada B")), joined(b.client(name="Blaise P"))
    charles = b.client(name="Charles B")
    nodes.pass_time(3)
    nodes.way(0).loses = lambda publication: publication.channel.startswith("$hub/room/")
    blaise.cut()
    nodes.pass_time(0.1)
    nodes.way(0).loses = lambda publication: False
    watcher.take()
    # As many messages under the room's new opening as were heard of the one before.
    joined(charles)
    nodes.pass_time(0.1)
    assert names_in(watcher) == names_in(charles) == ["Ada B", "Charles B"]
    told = [(each["type"], each["member"]["name"]) for each in watcher.take() if each["type"] in ("join", "leave")]
    assert told == [("leave", "Blaise P"), ("join", "Charles B")]


def test_a_first_member_that_was_lost_is_made_good_by_the_next_one_on_that_node(nodes: Nodes) -> None:
    a, b = nodes.worlds
    watcher, blaise = joined(a.client(name="Ada B")), joined(b.client(name="Blaise P"))
    charles, dora = b.client(name="Charles B"), b.client(name="Dora C")
    nodes.pass_time(3)
    nodes.way(0).loses = lambda publication: publication.channel.startswith("$hub/room/")
    blaise.cut()
    joined(charles)
    nodes.pass_time(0.1)
    nodes.way(0).loses = lambda publication: False
    joined(dora)
    nodes.pass_time(0.1)
    assert names_in(watcher) == ["Ada B", "Charles B", "Dora C"]


def test_a_subscription_that_ends_while_it_is_read_leaves_no_room_behind(nodes: Nodes) -> None:
    a, _ = nodes.worlds
    member, late = joined(a.client(name="Ada B")), a.client()
    nodes.pass_time(0.1)
    late.ask("connect")
    late.send({"type": "subscribe", "id": 9, "channel": "chat/lobby"})
    member.cut()
    late.cut()
    nodes.pass_time(0.1)
    assert a.hub.cluster is not None
    assert a.hub.cluster.rooms._rooms == {}
    assert not any(name.startswith("$hub/room/") for name in nodes.way(0).attached)


def test_who_asks_before_the_others_told_who_is_there_waits_for_it(nodes: Nodes) -> None:
    a, b = nodes.worlds
    joined(a.client(name="Ada B"))
    late = b.client(name="Blaise P")
    nodes.way(1).loses = lambda publication: b"room.list" in publication.payload
    joined(late)
    assert names_in(late) == ["Ada B", "Blaise P"]


def test_what_subscriptions_say_to_other_nodes_is_counted(nodes: Nodes) -> None:
    a, b = nodes.worlds
    assert a.hub.cluster is not None
    assert b.hub.cluster is not None
    bus = a.hub.cluster.bus
    for first, messages in ((True, 2), (False, 1)):
        client = a.client()
        client.ask("connect")
        before = bus.sent
        for number in range(100):
            client.send({"type": "subscribe", "id": 10 + number, "channel": f"chat/{number}"})
        nodes.pass_time(1.9)
        # A room that this node opens is asked about; and each that comes is told. Nobody else is bothered.
        assert 0 <= bus.sent - before - messages * 100 <= 2, first
    assert b.hub.cluster.bus.received < 100
