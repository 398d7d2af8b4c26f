"""The rows of benchmarks/RESULTS.md: what each measures, beside whom, and what is demanded."""

import dataclasses
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import broker_rows
import mqtt_rows
import recovery_storm
import slow_reader
from sections import (
    Bench,
    Section,
    at_least,
    at_most,
    idle_table,
    in_short,
    medians,
    per_cpu,
    ratio,
    spread,
    table,
)

from chappe.bench.comparison import Case, Measured, Spread, load_for
from chappe.bench.hub import Algorithm, has_data_planes
from chappe.bench.load import Result, run
from chappe.bench.running import Running, generator_core, running
from chappe.bench.servers import Server

JSON_TEXT = "The quick brown fox jumps over the lazy dog and counts to 1234567890; "


# --- Throughput -------------------------------------------------------------------------------------------------------


def p1(bench: Bench) -> Section:
    """Echo through a Python callback."""
    peers = ("websockets", "picows", "aiohttp", "uvicorn", "ws", "bun", "floor")
    servers = [bench.hub()]
    if has_data_planes():
        servers.append(bench.hub("chappe portable", server={"data_plane": "portable"}))
    servers += bench.peers(peers)
    wanted = {"seconds": bench.seconds, "connections": 100, "payload_bytes": 64}
    found = bench.compare([Case(name=s.name, server=s, kind="echo", wanted=wanted) for s in servers])
    demands = [
        at_least("Chappe / C floor", ratio(found, "chappe", "floor"), 0.9),
        at_least("Chappe / picows", ratio(found, "chappe", "picows"), 1.0),
    ]
    if has_data_planes():
        demands.append(at_least("portable path / native path", ratio(found, "chappe portable", "chappe"), 0.6))
    return Section("echo, 100 connections, 64 B", "messages", [table(found)], demands, summary=medians(found))


def p2(bench: Bench) -> Section:
    """Fan-out through the whole hub."""
    peers = ("websockets", "picows", "uvicorn", "python-socketio", "ws", "socket.io", "bun", "floor")
    found = bench.beside("fanout", peers, connections=bench.count(1000), payload_bytes=100)
    demands = [
        at_least("Chappe / C floor", ratio(found, "chappe", "floor"), 0.9),
        at_least("Chappe / websockets.broadcast", ratio(found, "chappe", "websockets"), 2.0),
        at_least("Chappe / socket.io", ratio(found, "chappe", "socket.io"), 5.0),
        at_least("Chappe / python-socketio", ratio(found, "chappe", "python-socketio"), 5.0),
    ]
    return Section("fan-out 1 to 1,000, 100 B", "deliveries", [table(found)], demands, summary=medians(found))


def p3(bench: Bench) -> Section:
    """Publish and be acknowledged."""
    servers = [bench.hub(), *bench.peers(("socket.io", "python-socketio", "floor"))]
    # The floor acknowledges nothing; its echo is what coming and going costs.
    servers = [dataclasses.replace(s, speech={"publish": s.speech.get("publish", s.speech["echo"])}) for s in servers]
    wanted = {"seconds": bench.seconds, "connections": 100}
    found = bench.compare([Case(name=s.name, server=s, kind="publish", wanted=wanted) for s in servers])
    demands = [
        at_least("Chappe / echo of the C floor", ratio(found, "chappe", "floor"), 0.4),
        at_least("Chappe / socket.io emit + ack", ratio(found, "chappe", "socket.io"), 5.0),
    ]
    title = "publish + ack, 100 connections, no subscribers"
    return Section(title, "acknowledged", [table(found)], demands, summary=medians(found))


def p4(bench: Bench) -> Section:
    """Rooms in which everyone speaks."""
    wanted = {"connections": bench.count(1000), "rooms": bench.count(100), "payload_bytes": 64}
    found = bench.beside("rooms", ("websockets", "picows", "bun", "floor"), **wanted)
    demands = [at_least("Chappe / C room server", ratio(found, "chappe", "floor"), 0.7)]
    title = "1,000 clients in 100 rooms of 10, everyone speaks"
    return Section(title, "deliveries", [table(found)], demands, summary=medians(found))


def p5(bench: Bench) -> Section:
    """Many publications in one tick."""
    wanted = {"mode": "burst", "connections": bench.count(1000), "burst": 64, "payload_bytes": 100}
    found = bench.beside("fanout", ("websockets", "floor"), **wanted)
    value = found["chappe"].spread(per_cpu).median / 1e6
    demands = [at_least("million deliveries per CPU-second", value, 1.5)]
    return Section("burst: 64 publications at once to 1,000 subscribers", "deliveries", [table(found)], demands)


def p6(bench: Bench) -> Section:
    """What compressing costs."""
    filler = (JSON_TEXT * 14)[:960]
    message = '{"type":"publish","id":2,"channel":"bench","data":{"stamp":"%s","text":"' + filler + '"}}'
    wanted = {"seconds": bench.seconds, "connections": bench.count(1000), "message": message, "payload_bytes": 30}
    plain = Case(name="plain", server=bench.hub(), kind="fanout", wanted=wanted)
    deflated = Case(name="compressed", server=bench.hub(), kind="fanout", wanted={**wanted, "deflate": True})
    found = bench.compare([plain, deflated])
    frames = sum(result.compressed for result in found["compressed"].results)
    demands = [at_most("CPU of compressed / plain", ratio(found, "plain", "compressed"), 1.3)]
    notes = [f"{frames:,} compressed frames came; 0 means that nothing was compressed and the row says nothing."]
    return Section("compressed broadcast, 1 KB JSON to 1,000", "deliveries", [table(found)], demands, notes)


def p7(bench: Bench) -> Section:
    """Latency at half the maximum."""
    wanted = {"seconds": bench.seconds, "connections": bench.count(1000), "payload_bytes": 100}
    most = bench.compare([Case(name="chappe", server=bench.hub(), kind="fanout", wanted=wanted)], 3)
    rate = most["chappe"].spread(lambda r: r.per_s).median / bench.count(1000) / 2
    found = bench.beside("fanout", ("floor",), **{**wanted, "rate": rate, "seconds": bench.seconds * 3})
    demands = [
        at_most("p99 / p99 of the C floor", ratio(found, "chappe", "floor", lambda r: r.p99_us), 2.0),
        at_most("p99.9 / p99.9 of the C floor", ratio(found, "chappe", "floor", lambda r: r.p999_us), 4.0),
    ]
    late = found["chappe"].spread(lambda r: r.late_p99_us).median
    notes = [
        f"{rate:,.0f} publications/s to both: half of what the hub reached in a closed loop.",
        f"99 % of the publications left the generator within {late:,.0f} us of when they were due.",
    ]
    title = "latency at half the maximum, evenly spaced, 1,000 subscribers"
    return Section(title, "deliveries", [table(found)], demands, notes)


# --- Connections ------------------------------------------------------------------------------------------------------


def p8(bench: Bench) -> Section:
    """Memory of an idle connection."""
    servers = [bench.hub(), *bench.peers(("websockets", "picows", "ws", "bun", "floor"))]
    wanted = {"connections": bench.count(10_000), "seconds": 2.0}
    found = bench.compare([Case(name=s.name, server=s, kind="idle", wanted=wanted) for s in servers], 3)
    value = found["chappe"].spread(lambda r: r.pss_kb_per_connection).median
    demands = [at_most("KB of PSS per connection", value, 2.5)]
    notes = ["Chappe's connections are authenticated and have one subscription; the peers' have neither."]
    return Section("memory of 10,000 idle connections", "KB", [idle_table(found)], demands, notes)


def p9(bench: Bench) -> Section:
    """CPU of idle connections."""
    wanted = {"connections": bench.count(10_000), "seconds": 3.0 if bench.is_quick else 60.0}
    found = bench.compare([Case(name="chappe", server=bench.hub(), kind="idle", wanted=wanted)], 1)
    value = found["chappe"].spread(lambda r: r.idle_cpu_us).median
    demands = [at_most("us per second and connection", value, 2.0)]
    return Section("CPU of 10,000 idle connections, pings every 25 s, 60 s", "us", [idle_table(found)], demands)


def hold(server: Server, up: Running, connections: int, seconds: float, place: int) -> Result:
    """Hold connections to a channel of their own, with a broadcast to all of them every five seconds."""
    wanted = {"connections": connections, "seconds": seconds, "rate": 0.2, "payload_bytes": 100, "warmup_s": 0.0}
    speech = server.speech["fanout"]
    own = {
        "first": tuple(each.replace("bench", f"bench{place}") for each in speech["first"]),
        "message": speech["message"].replace("bench", f"bench{place}"),
    }
    load = load_for(server, "fanout", up.port, up.pids, first_source=2 + 2 * place, **own, **wanted)
    with generator_core():
        return run(load)


def p10(bench: Bench) -> Section:
    """Hold many connections: of one process, then as many of each of two workers behind one port."""
    count = bench.count(19_000)
    with running(bench.hub()) as up:
        one = hold(bench.hub(), up, count, bench.hold_s, 0)
    print(
        f"  {one.opened:,} in one process: {one.closed} closed, broadcast within {one.max_us / 1e6:.3f} s", flush=True
    )
    workers = bench.hub("chappe with two workers", workers=2)
    context = multiprocessing.get_context("spawn")
    with running(workers) as up, ProcessPoolExecutor(2, mp_context=context) as pool:
        runs = [pool.submit(hold, workers, up, count, bench.hold_s, place) for place in (0, 1)]
        two = [each.result() for each in runs]
    results = {"one process": [one], "two workers": two}
    lines = [["hubs", "connections", "seconds", "closed", "lost", "repeated", "broadcast p50 s", "slowest s"]]
    for name, each in results.items():
        sums = [sum(r.opened for r in each), each[0].seconds]
        faults = [sum(r.closed for r in each), sum(r.lost for r in each), sum(r.repeated for r in each)]
        times = [max(r.p50_us for r in each) / 1e6, max(r.max_us for r in each) / 1e6]
        lines.append([name, *(f"{n:,.0f}" for n in (*sums, *faults)), *(f"{t:.3f}" for t in times)])
    per_10k = one.max_us / 1e6 / (count / 10_000)
    demands = [
        at_most("connections dropped or deliveries lost", sum(r.closed + r.lost for r in (one, *two)), 0),
        at_most("s for a broadcast to all, per 10,000, one process, slowest", per_10k, 0.15),
    ]
    return Section(f"connections held for {bench.hold_s / 60:g} minutes", "connections", [lines], demands)


def p11(bench: Bench) -> Section:
    """Connect, show a token, subscribe."""
    lines = [["token", "connections/s", "per CPU-second", "p50 us", "p99 us"]]
    figures: dict[str, float] = {}
    algorithms: tuple[Algorithm, ...] = ("HS256", "EdDSA")
    for algorithm in algorithms:
        server = bench.hub(f"chappe {algorithm}", algorithm=algorithm)
        wanted = {"mode": "connect", "connections": bench.count(8000)}
        each = bench.compare([Case(name=algorithm, server=server, kind="idle", wanted=wanted)])[algorithm]
        figures[algorithm] = each.spread(lambda r: r.opened_per_cpu_s).median
        lines.append(
            [
                algorithm,
                spread(each.spread(lambda r: r.opened_per_s)),
                spread(each.spread(lambda r: r.opened_per_cpu_s)),
                f"{each.spread(lambda r: r.opening_p50_us).median:,.0f}",
                f"{each.spread(lambda r: r.opening_p99_us).median:,.0f}",
            ]
        )
    demands = [at_least("connections per CPU-second, HS256", figures["HS256"], 4000)]
    notes = ["Time from connect() to the answer to the subscription, 64 at once."]
    return Section("connect + token + subscribe", "connections", [lines], demands, notes)


# --- Other carriers, growth, start ------------------------------------------------------------------------------------


def p12(bench: Bench) -> Section:
    """Server-Sent Events and long polls beside WebSocket."""
    wanted = {"seconds": bench.seconds, "connections": bench.count(1000), "payload_bytes": 100}
    cases = [
        Case(name="WebSocket", server=bench.hub(), kind="fanout", wanted=wanted),
        Case(name="SSE", server=bench.hub(), kind="fanout", wanted={**wanted, "sse": True}),
        Case(name="long polls", server=bench.hub(), kind="fanout", wanted={**wanted, "polls": True}),
    ]
    found = bench.compare(cases)
    polls = found["long polls"].spread(lambda result: result.polls_per_cpu_s).median
    demands = [
        at_least("SSE / WebSocket", ratio(found, "SSE", "WebSocket"), 0.9),
        at_least("answered polls per CPU-second", polls, 6000),
    ]
    notes = [
        "One publication at a time: each delivery by long poll is a request of its own, on a connection that stays."
    ]
    title = "fan-out to 1,000 over Server-Sent Events and long polls"
    return Section(title, "deliveries", [table(found)], demands, notes)


def p15(bench: Bench) -> Section:
    """What TLS costs."""
    wanted = {"seconds": bench.seconds, "connections": 100, "payload_bytes": 64}
    tls = bench.hub("chappe TLS", tls=True)
    found = bench.compare(
        [
            Case(name="plain", server=bench.hub(), kind="echo", wanted=wanted),
            Case(name="TLS", server=tls, kind="echo", wanted=wanted),
        ]
    )
    still = {"connections": bench.count(2000), "seconds": 1.0}
    idle = bench.compare([Case(name="TLS, idle", server=tls, kind="idle", wanted=still)], 1)
    demands = [at_least("TLS / plain", ratio(found, "TLS", "plain"), 0.45)]
    return Section("echo over TLS", "messages", [table(found), idle_table(idle)], demands)


def p17(bench: Bench) -> Section:
    """Many come back at once."""
    clients, behind = bench.count(1000), 100
    times = []
    for number in range(bench.rounds):
        times.append(recovery_storm.measure(bench.hub(), clients, behind))
        print(f"  [{number + 1}/{bench.rounds}] {times[-1]:.3f} s", flush=True)
    found = Spread.of(times)
    lines = [["clients", "each behind", "s: median (min-max)"], [f"{clients:,}", f"{behind}", spread(found, 3)]]
    notes = [
        "From the first subscribe, on connections that are open, to the last publication; the history is in the hub's "
        "memory. From a broker elsewhere it is read once for all, and kept for those who come later."
    ]
    return Section("recovery storm", "s", [lines], [at_most("s", found.median, 0.5)], notes)


def p18(bench: Bench) -> Section:
    """How cost grows with work."""
    small, large = bench.count(1000), bench.count(10_000)
    wanted = {"seconds": bench.seconds, "connections": small, "payload_bytes": 100}
    hub_server = bench.hub()
    first = hub_server.speech["fanout"]["first"]
    channels = (*first, *(f'{{"type":"subscribe","id":{n},"channel":"own-%i-{n}"}}' for n in range(2, 12)))
    cases = [
        Case(name="chappe 1,000", server=hub_server, kind="fanout", wanted=wanted),
        Case(name="chappe 10,000", server=hub_server, kind="fanout", wanted={**wanted, "connections": large}),
        Case(
            name="chappe 1 own channel each", server=hub_server, kind="fanout", wanted={**wanted, "first": channels[:2]}
        ),
        Case(
            name="chappe 10 own channels each", server=hub_server, kind="fanout", wanted={**wanted, "first": channels}
        ),
        Case(
            name="chappe 1,000 of 10,000",
            server=hub_server,
            kind="fanout",
            wanted={**wanted, "bystanders": large - small},
        ),
    ]
    for server in bench.peers(("floor",)):
        cases += [
            Case(name="floor 1,000", server=server, kind="fanout", wanted=wanted),
            Case(name="floor 10,000", server=server, kind="fanout", wanted={**wanted, "connections": large}),
            Case(
                name="floor 1,000 of 10,000",
                server=server,
                kind="fanout",
                wanted={**wanted, "bystanders": large - small, "bystander_path": "/echo"},
            ),
        ]
    found = bench.compare(cases, 3)
    floor_members = ratio(found, "floor 1,000", "floor 10,000") or 1.0
    floor_others = ratio(found, "floor 1,000", "floor 1,000 of 10,000") or 1.0
    channel_growth = ratio(found, "chappe 1 own channel each", "chappe 10 own channels each")
    demands = [
        at_most("subscribers x 10 / the floor's", ratio(found, "chappe 1,000", "chappe 10,000") / floor_members, 1.2),
        at_most("channels x 10", channel_growth, 1.2),
        at_most(
            "connections x 10 / the floor's", ratio(found, "chappe 1,000", "chappe 1,000 of 10,000") / floor_others, 1.2
        ),
    ]
    notes = ["Time per delivery grew by these factors; 1 is no growth."]
    return Section("growth of the cost with the work", "deliveries", [table(found)], demands, notes)


def p19(bench: Bench) -> Section:
    """Time to start."""
    times = []
    for _ in range(bench.rounds):
        with running(bench.hub()) as up:
            times.append(up.start_s)
    found = Spread.of(times)
    lines = [["", "s: median (min-max)"], ["chappe serve", spread(found, 3)]]
    return Section("start to the first accepted connection", "s", [lines], [at_most("s", found.median, 0.6)])


def steady(bench: Bench) -> Section:
    """An ordinary load for a minute."""
    seconds = 2.0 if bench.is_quick else 60.0
    servers = [bench.hub(), *bench.peers(("websockets", "floor"))]
    wanted = {"connections": 100, "rate": 1000.0, "payload_bytes": 100, "seconds": seconds}
    found = bench.compare([Case(name=s.name, server=s, kind="fanout", wanted=wanted) for s in servers], 1)
    lost = sum(found["chappe"].faults().values())
    return Section(
        "1,000 publications/s to 100 subscribers for a minute",
        "deliveries",
        [table(found)],
        [at_most("deliveries lost or repeated, connections closed", lost, 0)],
    )


def slow(bench: Bench) -> Section:
    """One reader of 1 KB/s among 1,000, with and without it in turn."""
    wanted = {
        "connections": bench.count(1_000),
        "rate": 100.0,
        "payload_bytes": 2_000,
        "seconds": 2.0 if bench.is_quick else 30.0,
    }
    results: dict[bool, list[Result]] = {False: [], True: []}
    closed = []
    for number in range(min(3, bench.rounds)):
        for is_there in (False, True):
            result, count = slow_reader.measure(bench.hub(), is_there, **wanted)
            results[is_there].append(result)
            closed += [count] if is_there else []
            print(f"  [{number + 1}] {'with' if is_there else 'without'} it: {in_short(result)}", flush=True)
    found = {
        name: Measured(name=name, version="", results=tuple(results[is_there]))
        for name, is_there in (("without it", False), ("with it", True))
    }
    p99 = [each.spread(lambda r: r.p99_us).median for each in found.values()]
    memory_kb = [each.spread(lambda r: r.after.pss_kb).median for each in found.values()]
    return Section(
        "One reader of 1 KB/s among 1,000, 100 publications/s of 2 KB",
        "deliveries",
        [table(found)],
        [
            at_most("p99 of the others, with it / without it", p99[1] / p99[0], 1.1),
            at_least("slow consumers closed (3008) in each run", min(closed), 1),
            at_most("KB of memory more at the end than without it", memory_kb[1] - memory_kb[0], 1_024),
        ],
    )


ROWS: dict[str, Callable[[Bench], Section]] = {
    "P1": p1,
    "P2": p2,
    "P3": p3,
    "P4": p4,
    "P5": p5,
    "P6": p6,
    "P7": p7,
    "P8": p8,
    "P9": p9,
    "P10": p10,
    "P11": p11,
    "P12": p12,
    "P13": mqtt_rows.p13,
    "P15": p15,
    "P16": broker_rows.p16,
    "P17": p17,
    "P18": p18,
    "P19": p19,
    "steady": steady,
    "slow": slow,
    "brokers": broker_rows.each_broker,
}
