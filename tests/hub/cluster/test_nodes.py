"""Which nodes there are."""

from chappe.hub.cluster.nodes import NODE_TTL_S
from tests.hub.cluster.rig import GONE_S, Nodes


def test_nodes_find_each_other_at_once_and_notice_who_leaves(nodes: Nodes) -> None:
    a, b = nodes.worlds
    assert a.hub.cluster is not None
    assert b.hub.cluster is not None
    assert a.hub.cluster.nodes.others == {"node0002"}
    assert b.hub.cluster.nodes.others == {"node0001"}
    b.hub.cluster.stop()
    nodes.pass_time(0.1)
    assert a.hub.cluster.nodes.others == set()
    assert a.hub.cluster.nodes.lost == 0


def test_a_node_that_is_silent_for_its_time_is_gone_and_comes_back(nodes: Nodes) -> None:
    a = nodes.worlds[0].hub.cluster
    assert a is not None
    nodes.kill(1)
    nodes.beat_until(GONE_S)
    assert (len(a.nodes.others), a.nodes.lost) == (0, 1)
    nodes.way(1).restore()
    nodes.beat_until(3)
    assert a.nodes.others == {"node0002"}


def test_when_the_engine_stands_still_nobody_is_taken_for_gone(nodes: Nodes) -> None:
    for number in range(2):
        nodes.way(number).cut()
    nodes.beat_until(NODE_TTL_S * 3)
    clusters = [world.hub.cluster for world in nodes.worlds]
    for cluster in clusters:
        assert cluster is not None
        assert cluster.nodes.is_cut_off
        assert cluster.nodes.lost == 0
    for number in range(2):
        nodes.way(number).restore()
    nodes.beat_until(NODE_TTL_S * 2)
    for cluster in clusters:
        assert cluster is not None
        assert not cluster.nodes.is_cut_off
        assert (cluster.nodes.lost, len(cluster.nodes.others)) == (0, 1)
