from chappe.protocols.mqtt.packets import Packet, PublishProperties, Version
from chappe.protocols.mqtt.reason_codes import MqttError

class PacketReader:
    max_packet_bytes: int
    @property
    def version(self) -> Version | None: ...
    @property
    def error(self) -> MqttError | None: ...
    @property
    def buffered_bytes(self) -> int: ...
    def __init__(
        self, max_packet_bytes: int, version: Version | None = None, max_connect_bytes: int | None = None
    ) -> None: ...
    def feed(self, data: bytes | bytearray | memoryview) -> list[Packet]: ...

def encode_acknowledgement(packet_type: int, packet_id: int) -> bytes: ...
def encode_publish(
    topic: str,
    payload: bytes,
    version: Version,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 0,
    properties: PublishProperties = ...,
) -> bytes: ...

class PublishFrame:
    @property
    def size_bytes(self) -> int: ...
    def __init__(
        self,
        topic: str,
        payload: bytes,
        version: Version,
        qos: int,
        retain: bool = False,
        properties: PublishProperties = ...,
    ) -> None: ...
    def with_id(self, packet_id: int, dup: bool = False) -> bytes: ...
