"""Both codecs make the same of the same bytes and packets; so does whoever cuts them, and what is written is read."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import Connect, Packet, PublishProperties, Version
from chappe.protocols.mqtt.reader import decode
from tests.protocols.mqtt.codecs import CONNECTS, VERSIONS, cut, load_codec, opened, outcome_of
from tests.protocols.mqtt.values import client_packets, connects, publishes, server_packets
from tests.protocols.vectors import load

PURE = load_codec("pure")
NATIVE = load_codec("native")
CUTS = st.lists(st.integers(0, 700), max_size=12)
LEVELS = pytest.mark.parametrize("version", VERSIONS)
#: Changes of single bytes: where, and by what.
CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4)
SEEDS = [bytes.fromhex(vector["hex"]) for vector in load("mqtt.packets.json")]


def changed(data: bytes, changes: Sequence[tuple[int, int]]) -> bytes:
    out = bytearray(data)
    for place, value in changes:
        if place < len(out):
            out[place] = value
    return bytes(out)


def check_both(data: bytes, version: Version | None, from_client: bool, places: Sequence[int]) -> None:
    whole = outcome_of(opened(PURE, version, from_client), [data])
    for codec in (PURE, NATIVE):
        for pieces in ([data], cut(data, places)):
            assert outcome_of(opened(codec, version, from_client), pieces) == whole


@given(
    st.lists(st.sampled_from(SEEDS), min_size=1, max_size=4),
    CHANGES,
    CUTS,
    st.booleans(),
    st.sampled_from([None, *VERSIONS]),
)
def test_mutated_vectors_are_the_same_to_both(
    seeds: list[bytes], changes: list[tuple[int, int]], places: list[int], from_client: bool, version: Version | None
) -> None:
    check_both(
        changed(b"".join(seeds), changes), version if from_client else version or Version.V5, from_client, places
    )


@LEVELS
@given(data=st.data(), changes=CHANGES, places=CUTS)
def test_mutated_packets_of_clients_are_the_same_to_both(
    data: st.DataObject, changes: list[tuple[int, int]], places: list[int], version: Version
) -> None:
    packets = data.draw(st.lists(client_packets(version), max_size=4))
    check_both(changed(b"".join(encode(each, version) for each in packets), changes), version, True, places)


@LEVELS
@given(data=st.data(), changes=CHANGES, places=CUTS)
def test_mutated_packets_of_servers_are_the_same_to_both(
    data: st.DataObject, changes: list[tuple[int, int]], places: list[int], version: Version
) -> None:
    packets = data.draw(st.lists(server_packets(version), max_size=4))
    check_both(changed(b"".join(encode(each, version) for each in packets), changes), version, False, places)


@LEVELS
@given(body=st.binary(max_size=120), first=st.integers(0, 255), places=CUTS)
def test_any_bytes_are_the_same_to_both(body: bytes, first: int, places: list[int], version: Version) -> None:
    data = bytes((first, len(body))) + body
    for from_client in (True, False):
        check_both(data, version, from_client, places)


@given(connects(), CUTS)
def test_a_connect_that_was_written_is_read(packet: Connect, places: list[int]) -> None:
    data = encode(packet, packet.version)
    for codec in (PURE, NATIVE):
        outcome = outcome_of(opened(codec, None, limit=10_000), cut(data, places))
        assert outcome == ((packet,), None, packet.version)
    assert decode(data, packet.version) == packet
    assert encode(decode(data, packet.version), packet.version) == data


def check_round_trip(packets: list[Packet], version: Version, from_client: bool, places: Sequence[int]) -> None:
    data = b"".join(encode(each, version) for each in packets)
    for codec in (PURE, NATIVE):
        reader = codec.PacketReader(1 << 20) if from_client else codec.PacketReader(1 << 20, version)
        if from_client:
            reader.feed(CONNECTS[version])
        assert outcome_of(reader, cut(data, places)) == (tuple(packets), None, version)
    for packet in packets:
        assert decode(encode(packet, version), version) == packet


@LEVELS
@given(data=st.data(), places=CUTS)
def test_what_a_client_writes_is_read(data: st.DataObject, places: list[int], version: Version) -> None:
    check_round_trip(data.draw(st.lists(client_packets(version), max_size=4)), version, True, places)


@LEVELS
@given(data=st.data(), places=CUTS)
def test_what_a_server_writes_is_read(data: st.DataObject, places: list[int], version: Version) -> None:
    check_round_trip(data.draw(st.lists(server_packets(version), max_size=4)), version, False, places)


@given(
    st.text(max_size=10),
    st.binary(max_size=300),
    st.sampled_from(VERSIONS),
    st.integers(-1, 4),
    st.booleans(),
    st.booleans(),
    st.integers(-2, 65_537),
    st.builds(
        PublishProperties,
        st.none() | st.integers(-1, 3),
        st.none() | st.integers(-1, 1 << 33),
        st.none() | st.integers(-1, 65_537),
        st.none() | st.text(max_size=5),
        st.none() | st.binary(max_size=5),
        st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3).map(tuple),
        st.lists(st.integers(0, 1 << 29), max_size=2).map(tuple),
        st.none() | st.text(max_size=5),
    ),
)
def test_any_message_is_written_alike_or_refused_alike(
    topic: str,
    payload: bytes,
    version: Version,
    qos: int,
    retain: bool,
    dup: bool,
    packet_id: int,
    properties: PublishProperties,
) -> None:
    written: list[bytes | str] = []
    for codec in (PURE, NATIVE):
        try:
            data = codec.encode_publish(topic, payload, version, qos, retain, dup, packet_id, properties)
            written.append(data)
        except LocalProtocolError as error:
            written.append(error.reason)
    assert written[0] == written[1]


@LEVELS
@given(st.data())
def test_a_publish_is_written_alike(version: Version, data: st.DataObject) -> None:
    packet = data.draw(publishes(version, False))
    fields = (packet.topic, packet.payload, version, packet.qos, packet.retain, packet.dup, packet.packet_id)
    assert PURE.encode_publish(*fields, packet.properties) == NATIVE.encode_publish(*fields, packet.properties)
