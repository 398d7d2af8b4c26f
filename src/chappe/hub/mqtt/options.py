"""What an MQTT client may use, and what is announced to it."""

import msgspec


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of MQTT; each is announced in CONNACK where version 5 has a word for it.

    Attributes:
        receive_maximum: messages of QoS 1 and 2 that a client may have under way towards the hub; above: 0x93. 20 as
            mosquitto.
        topic_alias_maximum: topics that a client may give a number; 10 as mosquitto.
        keep_alive_max_s: the longest keep alive of version 5; who asks more, or none, is told this one (Server Keep
            Alive). A minute finds a dead device before its operator does.
        session_expiry_max_s: the longest that a session outlives its connection; who asks more is told. A week.
        inflight_messages: messages of QoS 1 and 2 under way to one client, if it does not say less. Enough for 1,000 a
            second over 100 ms.
        session_queue_messages: what may wait for one session behind those, or be read for it when it comes back;
            above, messages are dropped and counted. 1,000 as mosquitto.
        session_queue_bytes: the same in bytes, 200 counted for each message beside its payload.
        packet_overhead_bytes: what a packet may have beside the largest payload: topic, properties.
        connect_bytes: the largest CONNECT: a will, a user name and a token.
        sys_interval_s: between two values of the `$SYS` counters, 0: they are not published. 10 as mosquitto.
        checkpoint_s: how often the place of a connected session is written down where sessions survive restarts, and
            after 200 messages; what came since comes twice after a crash (QoS 1).
    """

    receive_maximum: int = 20
    topic_alias_maximum: int = 10
    keep_alive_max_s: int = 60
    session_expiry_max_s: int = 604_800
    inflight_messages: int = 100
    session_queue_messages: int = 1_000
    session_queue_bytes: int = 1_048_576
    packet_overhead_bytes: int = 16_384
    connect_bytes: int = 65_536
    sys_interval_s: float = 10.0
    checkpoint_s: float = 1.0
