"""MQTT over asyncio transports: the link between a socket and a client, where there is no native one."""

from chappe.transports.stream_link import StreamLink


class MqttLink(StreamLink):
    """One connection that carries packets and nothing around them: what it receives goes on as it comes.

    There is no ping of ours in MQTT: who is silent for too long is found by its keep alive.
    """

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the peer."""
        commons, receiver = self._commons, self.receiver
        self.last_heard = commons.time()
        commons.counters.bytes_in += len(data)
        if receiver is None or self.closing:
            return
        self._corked = commons.corks
        receiver.receive(data, False)
        self._corked = False
        if self._pending and commons.corks:
            self.flush()

    def ping(self) -> None:
        """Send nothing: servers of MQTT have no ping."""
