"""The packets of MQTT as values: one frozen struct for each type, the same for 3.1.1 and 5.

A property that is absent is None (or an empty tuple); 3.1.1 has none. Reason codes are those of MQTT 5 in both versions
(`reason_codes`). Numbers of seconds end in `_s`, of bytes in `_bytes`. Structs hold immutable values only, so that the
garbage collector need not know them.
"""

import enum
from typing import Any, ClassVar, Final, TypeAlias

import msgspec

UserProperties: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs in the order in which they came; names may come again."""

#: A session expiry that never comes (MQTT 5, 3.1.2.11.2).
NEVER_EXPIRES: Final = 0xFFFF_FFFF
#: How many QoS 1 and 2 messages may be unacknowledged where nobody set a Receive Maximum.
DEFAULT_RECEIVE_MAXIMUM: Final = 65_535
#: The largest number that a variable byte integer can carry: the most that a packet may declare behind its header.
MAX_VARIABLE_INTEGER: Final = 268_435_455


class Version(enum.IntEnum):
    """The protocol level in CONNECT."""

    V3_1_1 = 4
    V5 = 5


class PacketType(enum.IntEnum):
    """The upper four bits of a packet's first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class ConnectProperties(msgspec.Struct, frozen=True, gc=False):
    """What a client asks for and promises (MQTT 5, 3.1.2.11).

    Attributes:
        session_expiry_s: how long the session outlives the connection; absent: 0.
        receive_maximum: unacknowledged QoS 1 and 2 messages it takes at once; absent: 65,535.
        maximum_packet_bytes: the largest packet it takes; absent: any.
        topic_alias_maximum: the highest alias it takes; absent: 0.
        request_response_information: whether CONNACK may tell Response Information; absent: no.
        request_problem_information: whether packets other than PUBLISH, CONNACK and DISCONNECT may carry reason strings
            and user properties; absent: yes.
    """

    session_expiry_s: int | None = None
    receive_maximum: int | None = None
    maximum_packet_bytes: int | None = None
    topic_alias_maximum: int | None = None
    request_response_information: bool | None = None
    request_problem_information: bool | None = None
    user_properties: UserProperties = ()
    authentication_method: str | None = None
    authentication_data: bytes | None = None


class WillProperties(msgspec.Struct, frozen=True, gc=False):
    """What goes with a will (MQTT 5, 3.1.3.2); all but the delay is published with it."""

    will_delay_s: int | None = None
    payload_format: int | None = None
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: UserProperties = ()


class ConnackProperties(msgspec.Struct, frozen=True, gc=False):
    """What a server allows and promises (MQTT 5, 3.2.2.3)."""

    session_expiry_s: int | None = None
    receive_maximum: int | None = None
    maximum_qos: int | None = None
    retain_available: bool | None = None
    maximum_packet_bytes: int | None = None
    assigned_client_id: str | None = None
    topic_alias_maximum: int | None = None
    reason_string: str | None = None
    user_properties: UserProperties = ()
    wildcard_subscription_available: bool | None = None
    subscription_identifier_available: bool | None = None
    shared_subscription_available: bool | None = None
    server_keep_alive_s: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None


class PublishProperties(msgspec.Struct, frozen=True, gc=False):
    """What goes with a message (MQTT 5, 3.3.2.3).

    Attributes:
        payload_format: 1: the payload is UTF-8, 0 or absent: bytes. Told, not checked.
        message_expiry_s: seconds left; absent: for ever.
        subscription_ids: the identifiers of all subscriptions that matched; server to client only.
        topic_alias: stands for the topic from here on, or, with an empty topic, instead of it.
    """

    payload_format: int | None = None
    message_expiry_s: int | None = None
    topic_alias: int | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: UserProperties = ()
    subscription_ids: tuple[int, ...] = ()
    content_type: str | None = None


class AckProperties(msgspec.Struct, frozen=True, gc=False):
    """What goes with PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK (MQTT 5, 3.4.2.2)."""

    reason_string: str | None = None
    user_properties: UserProperties = ()


class SubscribeProperties(msgspec.Struct, frozen=True, gc=False):
    """What goes with SUBSCRIBE (MQTT 5, 3.8.2.1)."""

    subscription_id: int | None = None
    user_properties: UserProperties = ()


class UnsubscribeProperties(msgspec.Struct, frozen=True, gc=False):
    """What goes with UNSUBSCRIBE (MQTT 5, 3.10.2.1)."""

    user_properties: UserProperties = ()


class DisconnectProperties(msgspec.Struct, frozen=True, gc=False):
    """What goes with DISCONNECT (MQTT 5, 3.14.2.2); absent session expiry: as agreed before."""

    session_expiry_s: int | None = None
    reason_string: str | None = None
    user_properties: UserProperties = ()
    server_reference: str | None = None


class AuthProperties(msgspec.Struct, frozen=True, gc=False):
    """What goes with AUTH (MQTT 5, 3.15.2.2); the method is absent in the short form of success only."""

    authentication_method: str | None = None
    authentication_data: bytes | None = None
    reason_string: str | None = None
    user_properties: UserProperties = ()


NO_CONNECT_PROPERTIES: Final = ConnectProperties()
NO_WILL_PROPERTIES: Final = WillProperties()
NO_CONNACK_PROPERTIES: Final = ConnackProperties()
NO_PUBLISH_PROPERTIES: Final = PublishProperties()
NO_ACK_PROPERTIES: Final = AckProperties()
NO_SUBSCRIBE_PROPERTIES: Final = SubscribeProperties()
NO_UNSUBSCRIBE_PROPERTIES: Final = UnsubscribeProperties()
NO_DISCONNECT_PROPERTIES: Final = DisconnectProperties()
NO_AUTH_PROPERTIES: Final = AuthProperties()

#: Each kind of properties with none in it: decoders give these very objects, so that `is` finds the common case.
NO_PROPERTIES: Final[dict[type, Any]] = {
    type(each): each
    for each in (
        NO_CONNECT_PROPERTIES,
        NO_WILL_PROPERTIES,
        NO_CONNACK_PROPERTIES,
        NO_PUBLISH_PROPERTIES,
        NO_ACK_PROPERTIES,
        NO_SUBSCRIBE_PROPERTIES,
        NO_UNSUBSCRIBE_PROPERTIES,
        NO_DISCONNECT_PROPERTIES,
        NO_AUTH_PROPERTIES,
    )
}


class Will(msgspec.Struct, frozen=True, gc=False):
    """What the server publishes when the client is gone without goodbye (MQTT 5, 3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: WillProperties = NO_WILL_PROPERTIES

    def __repr__(self) -> str:
        return f"Will(topic={self.topic!r}, {len(self.payload)} bytes, qos={self.qos}, retain={self.retain})"


class Connect(msgspec.Struct, frozen=True, gc=False):
    """Open a session (3.1); the first packet of a client, and sent once.

    Attributes:
        clean_start: begin with no session; in 3.1.1 (Clean Session) also keep none.
        keep_alive_s: the client sends something at least that often; 0: it need not.
        client_id: empty: the server shall choose one.
    """

    type: ClassVar = PacketType.CONNECT

    client_id: str
    version: Version = Version.V5
    clean_start: bool = True
    keep_alive_s: int = 0
    will: Will | None = None
    user_name: str | None = None
    password: bytes | None = None
    properties: ConnectProperties = NO_CONNECT_PROPERTIES

    def __repr__(self) -> str:
        return f"Connect(client_id={self.client_id!r}, {self.version.name}, clean_start={self.clean_start})"


class Connack(msgspec.Struct, frozen=True, gc=False):
    """Answer CONNECT (3.2)."""

    type: ClassVar = PacketType.CONNACK

    reason_code: int = 0
    session_present: bool = False
    properties: ConnackProperties = NO_CONNACK_PROPERTIES


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Carry a message, either way (3.3).

    Attributes:
        topic: empty if `properties.topic_alias` stands for it.
        packet_id: 1 to 65,535; 0 with QoS 0, which has none.
        dup: this may be the second time; only with QoS 1 and 2.
    """

    type: ClassVar = PacketType.PUBLISH

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: PublishProperties = NO_PUBLISH_PROPERTIES

    def __repr__(self) -> str:
        flags = f"qos={self.qos}, retain={self.retain}, dup={self.dup}, packet_id={self.packet_id}"
        return f"Publish(topic={self.topic!r}, {len(self.payload)} bytes, {flags})"


class Puback(msgspec.Struct, frozen=True, gc=False):
    """Acknowledge a message of QoS 1 (3.4)."""

    type: ClassVar = PacketType.PUBACK

    packet_id: int
    reason_code: int = 0
    properties: AckProperties = NO_ACK_PROPERTIES


class Pubrec(msgspec.Struct, frozen=True, gc=False):
    """Tell that a message of QoS 2 was received (3.5)."""

    type: ClassVar = PacketType.PUBREC

    packet_id: int
    reason_code: int = 0
    properties: AckProperties = NO_ACK_PROPERTIES


class Pubrel(msgspec.Struct, frozen=True, gc=False):
    """Release a message of QoS 2 (3.6)."""

    type: ClassVar = PacketType.PUBREL

    packet_id: int
    reason_code: int = 0
    properties: AckProperties = NO_ACK_PROPERTIES


class Pubcomp(msgspec.Struct, frozen=True, gc=False):
    """Complete a message of QoS 2 (3.7)."""

    type: ClassVar = PacketType.PUBCOMP

    packet_id: int
    reason_code: int = 0
    properties: AckProperties = NO_ACK_PROPERTIES


class SubscribeFilter(msgspec.Struct, frozen=True, gc=False):
    """One filter of a SUBSCRIBE with its options (MQTT 5, 3.8.3.1); 3.1.1 has only the QoS.

    Attributes:
        filter: as the client sent it, `$share/<name>/` included (`topics.split_shared` takes it apart).
        retain_handling: retained messages are sent 0: always, 1: if the subscription is new, 2: never.
    """

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct, frozen=True, gc=False):
    """Subscribe to one or more filters (3.8)."""

    type: ClassVar = PacketType.SUBSCRIBE

    packet_id: int
    filters: tuple[SubscribeFilter, ...]
    properties: SubscribeProperties = NO_SUBSCRIBE_PROPERTIES


class Suback(msgspec.Struct, frozen=True, gc=False):
    """Answer SUBSCRIBE with one code for each filter, in order (3.9): the QoS granted, or 0x80 and more."""

    type: ClassVar = PacketType.SUBACK

    packet_id: int
    reason_codes: tuple[int, ...]
    properties: AckProperties = NO_ACK_PROPERTIES


class Unsubscribe(msgspec.Struct, frozen=True, gc=False):
    """End subscriptions (3.10)."""

    type: ClassVar = PacketType.UNSUBSCRIBE

    packet_id: int
    filters: tuple[str, ...]
    properties: UnsubscribeProperties = NO_UNSUBSCRIBE_PROPERTIES


class Unsuback(msgspec.Struct, frozen=True, gc=False):
    """Answer UNSUBSCRIBE with one code for each filter, in order; in 3.1.1 without codes (3.11)."""

    type: ClassVar = PacketType.UNSUBACK

    packet_id: int
    reason_codes: tuple[int, ...] = ()
    properties: AckProperties = NO_ACK_PROPERTIES


class Pingreq(msgspec.Struct, frozen=True, gc=False):
    """Ask for a PINGRESP (3.12)."""

    type: ClassVar = PacketType.PINGREQ


class Pingresp(msgspec.Struct, frozen=True, gc=False):
    """Answer PINGREQ (3.13)."""

    type: ClassVar = PacketType.PINGRESP


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """Say goodbye (3.14); in 3.1.1 only the client does, and without a code."""

    type: ClassVar = PacketType.DISCONNECT

    reason_code: int = 0
    properties: DisconnectProperties = NO_DISCONNECT_PROPERTIES


class Auth(msgspec.Struct, frozen=True, gc=False):
    """Go on with, or begin again, an extended authentication (MQTT 5, 3.15)."""

    type: ClassVar = PacketType.AUTH

    reason_code: int = 0
    properties: AuthProperties = NO_AUTH_PROPERTIES


Acknowledgement: TypeAlias = Puback | Pubrec | Pubrel | Pubcomp

ClientPacket: TypeAlias = (
    Connect | Publish | Puback | Pubrec | Pubrel | Pubcomp | Subscribe | Unsubscribe | Pingreq | Disconnect | Auth
)
"""What a client may send."""

ServerPacket: TypeAlias = (
    Connack | Publish | Puback | Pubrec | Pubrel | Pubcomp | Suback | Unsuback | Pingresp | Disconnect | Auth
)
"""What a server may send."""

Packet: TypeAlias = ClientPacket | ServerPacket
