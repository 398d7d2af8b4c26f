"""Measure the codec of MQTT alone, without sockets: packets read and written a second of CPU time.

    python benchmarks/mqtt_codec.py              everything (about 20 seconds)
    python benchmarks/mqtt_codec.py --rounds 5   shorter

The native codec, its twin in Python, and the `mqtt5` library (Rust, MQTT 5 only), each the best of its rounds: other
programs on the machine only ever add to CPU time.
"""

import argparse
import importlib
import time
from collections.abc import Callable
from typing import Any, Final

import mqtt5

from chappe.protocols.mqtt.packets import PacketType, PublishProperties, Version

TOPIC: Final = "bench/topic/1"
PACKET_ID: Final = 1_000
#: Packets in one call of the reader: as many as a full read from a socket may bring.
CHUNK: Final = 200
CODECS: Final = {"native": "chappe.protocols.mqtt._codec", "pure": "chappe.protocols.mqtt.codec_pure"}
PROPERTIES: Final = PublishProperties(
    payload_format=1, message_expiry_s=60, content_type="application/json", user_properties=(("chappe-offset", "41"),)
)

Row = tuple[str, Callable[[], object], int]


def rate(work: Callable[[], object], packets: int, rounds: int) -> float:
    """Return packets a second of CPU time, the best of some rounds of about 20 ms."""
    began = time.process_time()
    calls = 0
    while time.process_time() - began < 0.02:
        work()
        calls += 1
    best = 0.0
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(calls):
            work()
        best = max(best, calls * packets / (time.process_time() - began))
    return best


def rows_of(codec: Any, payload: bytes) -> list[Row]:
    """Return what is measured of one of our codecs."""
    rows: list[Row] = []
    for version, qos in ((Version.V3_1_1, 0), (Version.V5, 0), (Version.V5, 1)):
        arguments = (TOPIC, payload, version, qos, False, False, PACKET_ID if qos else 0)
        chunk = codec.encode_publish(*arguments) * CHUNK
        reader = codec.PacketReader(1 << 20, version)
        name = f"PUBLISH QoS {qos}, {'5' if version is Version.V5 else '3.1.1'}"
        rows.append((f"read {name}", lambda reader=reader, chunk=chunk: reader.feed(chunk), CHUNK))
        rows.append((f"write {name}", lambda arguments=arguments: codec.encode_publish(*arguments), 1))
    reader = codec.PacketReader(1 << 20, Version.V5)
    full = (TOPIC, payload, Version.V5, 0, False, False, 0, PROPERTIES)
    chunk = codec.encode_publish(*full) * CHUNK
    acks = codec.encode_acknowledgement(PacketType.PUBACK, PACKET_ID) * CHUNK
    frame = codec.PublishFrame(TOPIC, payload, Version.V5, 1)
    rows += [
        ("read PUBLISH with 4 properties", lambda: reader.feed(chunk), CHUNK),
        ("write PUBLISH with 4 properties", lambda: codec.encode_publish(*full), 1),
        ("read PUBACK", lambda: reader.feed(acks), CHUNK),
        ("write PUBACK", lambda: codec.encode_acknowledgement(PacketType.PUBACK, PACKET_ID), 1),
        ("number a shared frame of QoS 1", lambda: frame.with_id(PACKET_ID), 1),
    ]
    return rows


def rows_of_library(payload: bytes) -> list[Row]:
    """Return the same of the library, as far as it has it; it reads a packet a call."""
    plain = mqtt5.PublishPacket(TOPIC, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=PACKET_ID)
    full = mqtt5.PublishPacket(
        TOPIC,
        payload,
        payload_format_indicator=1,
        message_expiry_interval=60,
        content_type="application/json",
        user_properties=[("chappe-offset", "41")],
    )
    ack = mqtt5.PubAckPacket(PACKET_ID)
    rows: list[Row] = []
    for name, packet in (("PUBLISH QoS 1, 5", plain), ("PUBLISH with 4 properties", full), ("PUBACK", ack)):
        data = memoryview(packet.write())
        rows.append((f"read {name}", lambda data=data: mqtt5.read(data), 1))
        rows.append((f"write {name}", packet.write, 1))
    return rows


def main() -> None:
    """Measure, and print a table in thousands a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--payload", type=int, default=64, help="bytes")
    options = parser.parse_args()
    payload = b"x" * options.payload
    found: dict[str, dict[str, float]] = {}
    measured = {name: rows_of(importlib.import_module(path), payload) for name, path in CODECS.items()}
    measured["mqtt5"] = rows_of_library(payload)
    for name, rows in measured.items():
        for row, work, packets in rows:
            found.setdefault(row, {})[name] = rate(work, packets, options.rounds)
    print(f"| {options.payload} bytes, thousand a CPU-second | {' | '.join(measured)} |")
    print("| --- |" + " --- |" * len(measured))
    for row, rates in found.items():
        cells = (f"{rates[name] / 1e3:,.0f}" if name in rates else "-" for name in measured)
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
