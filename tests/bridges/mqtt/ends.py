"""A connection to a real mosquitto, and what it heard."""

from chappe.bridges.mqtt.address import Address
from chappe.bridges.mqtt.confirming import Arrival
from chappe.bridges.mqtt.line import Line
from tests.bridges.mqtt.mosquitto import Mosquitto


class End:
    """A line, what it heard and what was confirmed to it."""

    def __init__(self, server: Mosquitto, client_id: str = "tester") -> None:
        self.heard: list[Arrival] = []
        self.confirmed: list[int] = []
        address = Address(host="127.0.0.1", port=server.port)
        self.line = Line(
            address,
            client_id,
            keeps=True,
            heard=self.heard.append,
            confirmed=lambda packet_id, taken, reason: self.confirmed.append(packet_id),
        )
