"""What the nodes of one cluster know of each other, over the broker they share: no other connection between them."""

from chappe.hub.cluster.bus import PREFIX as OWN_PREFIX
from chappe.hub.cluster.bus import Bus
from chappe.hub.cluster.cluster import Cluster
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.cluster.records import Records

__all__ = ["OWN_PREFIX", "Bus", "Cluster", "Nodes", "Records"]
