"""What the nodes of one cluster know of each other, over the broker they share: no other connection between them."""

from chappe.hub.cluster.bus import Bus
from chappe.hub.cluster.cluster import Cluster, is_own
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.cluster.records import Records

__all__ = ["Bus", "Cluster", "Nodes", "Records", "is_own"]
