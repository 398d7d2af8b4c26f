"""The row about MQTT: the hub beside brokers, and how many clients it holds."""

import dataclasses
from typing import Any

from sections import Bench, Line, Section, at_least, at_most, idle_table, medians, ratio, table

from chappe.bench.comparison import Case, Measured, load_for
from chappe.bench.load import Result, run
from chappe.bench.mqtt import MQTT_FINDERS, mqtt_hub
from chappe.bench.running import generator_core, running
from chappe.bench.servers import Kind, MissingPeer, Server

HOLD_S = 60.0


def with_duplicates(mosquitto: Server) -> Server:
    """Return a mosquitto that sends a message once for each filter that matches; ours, and its default, once in all."""
    files = {name: f"{text}allow_duplicate_messages true\n" for name, text in mosquitto.files.items()}
    return dataclasses.replace(mosquitto, name="mosquitto, duplicates allowed", files=files)


def brokers(bench: Bench) -> list[Server]:
    """Return the hub and the brokers that are installed."""
    servers = [mqtt_hub(bench.folder / "chappe-mqtt")]
    for find in MQTT_FINDERS.values():
        try:
            servers.append(find())
        except MissingPeer as missing:
            print(f"  {missing.name} is left out, get it with: {missing.install}")
    return servers


def beside(bench: Bench, servers: list[Server], kind: Kind, **wanted: Any) -> dict[str, Measured]:
    """Put one load to all of them in turn."""
    wanted = {"seconds": bench.seconds, "payload_bytes": 100, **wanted}
    return bench.compare([Case(name=each.name, server=each, kind=kind, wanted=wanted) for each in servers])


def held(bench: Bench, server: Server) -> Result:
    """Hold clients of one topic, with a publication to all of them every five seconds."""
    wanted = {"connections": bench.count(10_000), "rate": 0.2, "payload_bytes": 100, "warmup_s": 0.0}
    with running(server) as up, generator_core():
        seconds = min(HOLD_S, bench.hold_s)
        return run(load_for(server, "fanout", up.port, up.pids, seconds=seconds, **wanted))


def held_table(name: str, result: Result) -> list[Line]:
    """Return what became of the clients that were held."""
    faults = (result.closed, result.lost, result.repeated)
    figures = (result.opened, result.seconds, *faults)
    return [
        ["held", "clients", "seconds", "closed", "lost", "repeated", "slowest publication to all, s"],
        [name, *(f"{figure:,.0f}" for figure in figures), f"{result.max_us / 1e6:.3f}"],
    ]


def p13(bench: Bench) -> Section:
    """MQTT beside mosquitto and amqtt."""
    servers = brokers(bench)
    lenient = [with_duplicates(each) for each in servers if each.name == "mosquitto"]
    fanout = beside(bench, [*servers, *lenient], "fanout", connections=bench.count(1000))
    loads = {
        "QoS 0, fan-out": fanout,
        "QoS 0, one to one": beside(bench, servers, "pairs", connections=100),
        "QoS 1, one to one": beside(bench, servers, "pairs", connections=100, qos=1),
    }
    idle = beside(bench, servers, "idle", connections=bench.count(2000), seconds=2.0)
    one = held(bench, servers[0])
    least = {"QoS 0, fan-out": 1.8, "QoS 0, one to one": 0.35, "QoS 1, one to one": 0.35}
    demands = []
    for name, found in loads.items():
        demands.append(at_least(f"Chappe / mosquitto, {name}", ratio(found, "chappe", "mosquitto"), least[name]))
        demands.append(at_least(f"Chappe / amqtt, {name}", ratio(found, "chappe", "amqtt"), 10.0))
    demands.append(at_most("clients dropped or deliveries lost while held", one.closed + one.lost + one.repeated, 0))
    tables = [[[name, *lines[0][1:]], *lines[1:]] for name, lines in ((n, table(f)) for n, f in loads.items())]
    notes = [
        "MQTT 3.1.1, 100 bytes. Fan-out: 1 to 1,000, one message at a time. One to one: 50 pairs, 16 messages under "
        "way in each; with QoS 1 a message is over when it is delivered and acknowledged on both sides.",
        "Chappe checks a token on every CONNECT, applies rights and limits and keeps a history of each topic; the "
        "others do none of it. mosquitto writes no file and no log and bounds no queue; by default it sends a "
        "message once to a client, as Chappe does, however many of its filters match.",
        "Idle: a subscription each, a ping every 40 s.",
    ]
    title = "MQTT: fan-out 1 to 1,000, one to one, idle"
    shown = [*tables, idle_table(idle), held_table("chappe", one)]
    return Section(title, "deliveries", shown, demands, notes, medians(fanout))
