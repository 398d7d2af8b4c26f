"""Any packet that a peer may rightly send, for Hypothesis."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import msgspec
from hypothesis import strategies as st

from chappe.protocols.mqtt.packets import (
    MAX_VARIABLE_INTEGER,
    NEVER_EXPIRES,
    AckProperties,
    Auth,
    AuthProperties,
    Connack,
    ConnackProperties,
    Connect,
    ConnectProperties,
    Disconnect,
    DisconnectProperties,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    PublishProperties,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeFilter,
    SubscribeProperties,
    Unsuback,
    Unsubscribe,
    UnsubscribeProperties,
    Version,
    Will,
    WillProperties,
)
from chappe.protocols.mqtt.properties import Kind, properties_of
from chappe.protocols.mqtt.reason_codes import CODES_OF_PACKET, MEANINGS

IDS: Final = st.integers(1, 65_535)
QOS: Final = st.integers(0, 2)
TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TOPICS: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=40)
BYTES: Final = st.binary(max_size=200)
LEVELS: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#/"), max_size=4) | st.just("+")


def _filter_of(levels: list[str], is_open: bool) -> str:
    return "/".join([*levels, "#"] if is_open else levels)


FILTERS: Final = (
    st.builds(_filter_of, st.lists(LEVELS, min_size=1, max_size=4), st.booleans())
    .filter(bool)
    .filter(lambda name: not name.startswith("$share"))
)
SHARED: Final = st.builds(lambda name: f"$share/group/{name}", FILTERS)

_NUMBERS: Final = {
    Kind.BYTE: 255,
    Kind.FLAG: 1,
    Kind.TWO_BYTES: 65_535,
    Kind.FOUR_BYTES: NEVER_EXPIRES,
    Kind.VARIABLE: MAX_VARIABLE_INTEGER,
}
_OTHERS: Final[dict[Kind, st.SearchStrategy[Any]]] = {
    Kind.TEXT: TEXT,
    Kind.TOPIC: TOPICS,
    Kind.BINARY: BYTES,
    Kind.PAIR: st.tuples(TEXT, TEXT),
}


def properties(kind: type[msgspec.Struct], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for properties of a packet: each absent or anywhere in its range."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for described in properties_of(kind):
        if described.kind in _NUMBERS:
            most = described.maximum if described.maximum is not None else _NUMBERS[described.kind]
            value: st.SearchStrategy[Any] = st.integers(described.minimum, most)
            value = value.map(bool) if described.kind is Kind.FLAG else value
        else:
            value = _OTHERS[described.kind]
        fields[described.name] = st.lists(value, max_size=3).map(tuple) if described.many else st.none() | value
    some = st.builds(kind, **{**fields, **fixed})
    return some if fixed else st.just(kind()) | some


def _codes(packet_type: int) -> st.SearchStrategy[int]:
    return st.sampled_from(sorted(CODES_OF_PACKET[packet_type]))


def _wills(version: Version) -> st.SearchStrategy[Will]:
    held = properties(WillProperties) if version is Version.V5 else st.just(WillProperties())
    return st.builds(Will, TOPICS, BYTES, QOS, st.booleans(), held)


def _connect(version: Version) -> st.SearchStrategy[Connect]:
    held = st.just(ConnectProperties())
    passwords = st.just(None) | BYTES
    if version is Version.V5:
        held = properties(ConnectProperties).filter(
            lambda each: each.authentication_data is None or each.authentication_method is not None
        )
        names = st.none() | TEXT
    else:
        names = TEXT
    return st.builds(
        Connect,
        client_id=TEXT if version is Version.V5 else TEXT.filter(bool),
        version=st.just(version),
        clean_start=st.booleans(),
        keep_alive_s=st.integers(0, 65_535),
        will=st.none() | _wills(version),
        user_name=names,
        password=passwords,
        properties=held,
    )


@cache
def publishes(version: Version, from_client: bool) -> st.SearchStrategy[Publish]:
    """Return a strategy for messages."""
    held = st.just(PublishProperties())
    if version is Version.V5:
        own = {"subscription_ids": st.just(())} if from_client else {}
        held = properties(PublishProperties, **own)

    def make(topic: str, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int, props: Any) -> Publish:
        named = "" if props.topic_alias is not None and len(topic) % 2 else topic
        return Publish(named, payload, qos, retain, dup and qos > 0, packet_id if qos else 0, props)

    return st.builds(make, TOPICS, BYTES, QOS, st.booleans(), st.booleans(), IDS, held)


def _acknowledgements(version: Version) -> st.SearchStrategy[Packet]:
    kinds: tuple[Callable[..., Packet], ...] = (Puback, Pubrec, Pubrel, Pubcomp)
    if version is not Version.V5:
        return st.builds(lambda kind, number: kind(number), st.sampled_from(kinds), IDS)
    return st.one_of(
        [
            st.builds(kind, IDS, _codes(number), properties(AckProperties))
            for number, kind in zip((4, 5, 6, 7), kinds, strict=True)
        ]
    )


def _subscribe(version: Version) -> st.SearchStrategy[Packet]:
    if version is not Version.V5:
        return st.builds(Subscribe, IDS, st.lists(st.builds(SubscribeFilter, FILTERS, QOS), min_size=1).map(tuple))
    own = st.builds(SubscribeFilter, FILTERS, QOS, st.booleans(), st.booleans(), QOS)
    shared = st.builds(SubscribeFilter, SHARED, QOS, st.just(False), st.booleans(), QOS)
    return st.builds(Subscribe, IDS, st.lists(own | shared, min_size=1).map(tuple), properties(SubscribeProperties))


def _unsubscribe(version: Version) -> st.SearchStrategy[Packet]:
    held = properties(UnsubscribeProperties) if version is Version.V5 else st.just(UnsubscribeProperties())
    return st.builds(Unsubscribe, IDS, st.lists(FILTERS, min_size=1).map(tuple), held)


def _disconnect(version: Version, from_client: bool) -> st.SearchStrategy[Packet]:
    if version is not Version.V5:
        return st.just(Disconnect())
    own = {} if from_client else {"session_expiry_s": st.none()}
    return st.builds(Disconnect, _codes(14), properties(DisconnectProperties, **own))


def _auth() -> st.SearchStrategy[Packet]:
    return st.just(Auth()) | st.builds(Auth, _codes(15), properties(AuthProperties, authentication_method=TEXT))


@cache
def client_packets(version: Version) -> st.SearchStrategy[Packet]:
    """Return a strategy for what a client sends behind CONNECT."""
    kinds = [
        publishes(version, True),
        _acknowledgements(version),
        _subscribe(version),
        _unsubscribe(version),
        st.just(Pingreq()),
        _disconnect(version, True),
    ]
    return st.one_of([*kinds, _auth()] if version is Version.V5 else kinds)


@cache
def connects() -> st.SearchStrategy[Connect]:
    """Return a strategy for the first packet of a client."""
    return _connect(Version.V3_1_1) | _connect(Version.V5)


@cache
def server_packets(version: Version) -> st.SearchStrategy[Packet]:
    """Return a strategy for what a server sends."""
    kinds: list[st.SearchStrategy[Packet]] = [
        cast("st.SearchStrategy[Packet]", publishes(version, False)),
        _acknowledgements(version),
        st.just(Pingresp()),
    ]
    if version is not Version.V5:
        refusals = [Connack(int(code)) for code in MEANINGS.values()]
        codes = st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1).map(tuple)
        return st.one_of(
            [
                *kinds,
                st.sampled_from([*refusals, Connack(0, True)]),
                st.builds(Suback, IDS, codes),
                st.builds(Unsuback, IDS),
            ]
        )

    def connack(code: int, present: bool, held: ConnackProperties) -> Connack:
        return Connack(code, present and not code, held)

    def answers(kind: Callable[..., Packet], number: int) -> st.SearchStrategy[Packet]:
        return st.builds(kind, IDS, st.lists(_codes(number), min_size=1).map(tuple), properties(AckProperties))

    kinds += [
        st.builds(connack, _codes(2), st.booleans(), properties(ConnackProperties)),
        answers(Suback, 9),
        answers(Unsuback, 11),
        _disconnect(version, False),
        _auth(),
    ]
    return st.one_of(kinds)
