"""Say what load to put to a server, run it with the generator in C, and return what came out."""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from typing import Any, Literal

Mode = Literal["echo", "fanout", "publish", "rooms", "burst", "idle", "connect", "pairs"]

#: The order of `enum load_mode` in load_options.h.
_MODES: tuple[Mode, ...] = ("echo", "fanout", "publish", "rooms", "burst", "idle", "connect", "pairs")
_ONE_SENDER = ("fanout", "burst")
_MQTT_MODES = ("fanout", "burst", "pairs", "idle", "connect")

#: Clients of one source address; it has about 28,000 ports to one server.
LINKS_PER_SOURCE = 20_000
FIRST_SOURCE = 2


class Problem(IntEnum):
    """Name why a measurement ended without a result, in the order of `enum load_error`."""

    SYSTEM = 1
    REFUSED = 2
    FILES = 3
    NO_TLS = 4
    SILENT = 5
    INTERRUPTED = 6
    #: The generator is not compiled in this installation: it needs Linux and a C compiler.
    NO_GENERATOR = 7


class LoadError(Exception):
    """End a measurement; `problem` says why, `reason` is what the system or the server said."""

    def __init__(self, problem: Problem, reason: str = "", files_max: int = 0, connections: int = 0) -> None:
        # All of them, so that the error crosses from one process to another.
        super().__init__(problem, reason, files_max, connections)
        self.problem = problem
        self.reason = reason
        self.files_max = files_max
        self.connections = connections

    def __str__(self) -> str:
        return self.reason or self.problem.name.lower().replace("_", " ")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """Ask for one measurement.

    Templates (`path`, `first`, `message`) replace `%s` by the stamped payload, `%i` by the number of the connection and
    `%r` by the number of its room.

    Attributes:
        mode: echo, publish and rooms: each connection sends and waits; fanout and burst: one sends, all receive; idle:
            nobody sends; connect: opening is what is measured; pairs: each even connection publishes to the odd one
            behind it (MQTT).
        first: messages each connection sends when it is open; of MQTT the filters it subscribes to.
        answer: what an answer to one of them contains; when all are answered the connection is ready;
            empty waits for none.
        rate: messages a second in an open loop (fanout); latency counts from when each was due. 0 is a closed loop.
        sse: the subscribers are `GET stream_path` with Server-Sent Events, the publisher a WebSocket on `path`.
        polls: the subscribers are long polls on connections that are kept, each with a session of its own, which POSTs
            `first`; the publisher is a WebSocket on `path` (fanout and burst).
        deflate: permessage-deflate is offered (fanout and burst).
        engine_io: pings are messages, as Socket.IO's transport has them.
        bystanders: further connections that take no part, on `bystander_path`.
        mqtt: 4 for MQTT 3.1.1, 5 for MQTT 5; 0 for WebSockets. Messages go to `topic`. In pairs `%i` is the number of
            the publisher, in `topic` and in `first`, and `inflight` is the window of each pair: a message leaves it
            when it is delivered and, with QoS 1, acknowledged. Publishers of pairs subscribe to nothing.
        qos: 0 or 1, of what is published and of what is subscribed to; each acknowledgement that does not come is lost.
        keep_alive_s: each MQTT client sends a ping every two thirds of it, and one that is not answered is lost;
            0: none.
        user, password: of CONNECT; empty: without.
        pids: processes of the server, for its CPU seconds and memory.
    """

    mode: Mode
    port: int
    host: str = "127.0.0.1"
    path: str = "/"
    stream_path: str = "/"
    bystander_path: str = "/"
    headers: tuple[str, ...] = ()
    subprotocol: str = ""
    first: tuple[str, ...] = ()
    bystander_first_count: int = 0
    answer: str = ""
    message: str = "%s"
    connections: int = 100
    rooms: int = 1
    bystanders: int = 0
    parallel: int = 64
    payload_bytes: int = 64
    inflight: int = 1
    burst: int = 64
    seconds: float = 3.0
    warmup_s: float = 0.5
    settle_s: float = 0.3
    rate: float = 0.0
    first_source: int = FIRST_SOURCE
    links_per_source: int = LINKS_PER_SOURCE
    tls: bool = False
    deflate: bool = False
    sse: bool = False
    polls: bool = False
    engine_io: bool = False
    mqtt: Literal[0, 4, 5] = 0
    qos: Literal[0, 1] = 0
    keep_alive_s: int = 0
    topic: str = ""
    user: str = ""
    password: str = ""
    pids: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Hold what the server and the kernel occupy, in kilobytes.

    Attributes:
        pss_kb: the server's own; pages it shares count in part.
        buffers_kb: what is queued in the TCP sockets of the machine.
        objects_kb: kernel objects of the machine; both ends of each connection are among them.
    """

    pss_kb: int
    buffers_kb: int
    objects_kb: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """Hold what one measurement found; counts and times are those of the window of `seconds`.

    Attributes:
        deliveries: messages received: echoes, deliveries, acknowledgements.
        lost: deliveries that did not come until three seconds after the end.
        repeated: deliveries that came twice, out of order, or to the wrong connection.
        closed: connections that ended; `close_code` is the code of the first that told one.
        polls: how many were answered with something; each publication that came is in `deliveries`.
        late_p99_us: open loop: how late messages left, after they were due.
    """

    connections: int
    opened: int
    opening_s: float
    opening_cpu_s: float
    opening_p50_us: float
    opening_p99_us: float
    seconds: float
    server_cpu_s: float
    generator_cpu_s: float
    deliveries: int
    sent: int
    bytes_in: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    late_p99_us: float
    late_max_us: float
    lost: int
    repeated: int
    compressed: int
    polls: int
    closed: int
    close_code: int
    before: Memory
    after: Memory

    @property
    def per_s(self) -> float:
        """Return deliveries a second."""
        return self.deliveries / self.seconds if self.seconds else 0.0

    @property
    def per_cpu_s(self) -> float:
        """Return deliveries per CPU-second of the server; 0 when its processes are not known."""
        return self.deliveries / self.server_cpu_s if self.server_cpu_s else 0.0

    @property
    def polls_per_cpu_s(self) -> float:
        """Return answered polls per CPU-second of the server; 0 when its processes are not known."""
        return self.polls / self.server_cpu_s if self.server_cpu_s else 0.0

    @property
    def generator_share(self) -> float:
        """Return which part of a core the generator used."""
        return self.generator_cpu_s / self.seconds if self.seconds else 0.0

    @property
    def opened_per_s(self) -> float:
        """Return connections that became ready a second."""
        return self.opened / self.opening_s if self.opening_s else 0.0

    @property
    def opened_per_cpu_s(self) -> float:
        """Return connections that became ready per CPU-second of the server."""
        return self.opened / self.opening_cpu_s if self.opening_cpu_s else 0.0

    @property
    def pss_kb_per_connection(self) -> float:
        """Return what the server's own memory grew by for each connection."""
        return (self.after.pss_kb - self.before.pss_kb) / self.opened if self.opened else 0.0

    @property
    def kernel_kb_per_connection(self) -> float:
        """Return what the kernel's memory grew by for each connection, both of its ends together."""
        grown = self.after.objects_kb + self.after.buffers_kb - self.before.objects_kb - self.before.buffers_kb
        return grown / self.opened if self.opened else 0.0

    @property
    def idle_cpu_us(self) -> float:
        """Return the server's CPU in microseconds per second and connection."""
        return self.server_cpu_s * 1e6 / self.seconds / self.opened if self.seconds and self.opened else 0.0


def run(load: Load) -> Result:
    """Run one measurement in the calling thread, which is busy until it ends; Ctrl-C ends it at once.

    Raises:
        LoadError: the server refused, or this machine cannot put such a load.
        ValueError: the options contradict each other.
    """
    if load.deflate and load.mode not in _ONE_SENDER:
        raise ValueError(f"deflate is measured with fanout and burst, got {load.mode}")
    if load.polls and (load.sse or load.mode not in _ONE_SENDER):
        raise ValueError(f"polls are measured with fanout and burst, without sse, got {load.mode}")
    _check_mqtt(load)
    if load.connections < 1 or load.rooms < 1 or load.inflight < 1 or load.parallel < 1:
        raise ValueError("connections, rooms, inflight and parallel are at least 1")
    try:
        from chappe.bench import _load
    except ImportError:
        raise LoadError(Problem.NO_GENERATOR) from None
    wanted = dataclasses.asdict(load)
    wanted["mode"] = _MODES.index(load.mode)
    wanted["headers"] = "".join(f"{line}\r\n" for line in load.headers)
    found = _load.run(wanted)
    return _result(load, found)


def _check_mqtt(load: Load) -> None:
    """Raise ValueError for what MQTT is not measured with."""
    if not load.mqtt:
        if load.mode == "pairs" or load.qos or load.keep_alive_s:
            raise ValueError("pairs, qos and keep_alive_s are of MQTT")
        return
    if load.mode not in _MQTT_MODES:
        raise ValueError(f"MQTT is measured with {', '.join(_MQTT_MODES)}, got {load.mode}")
    if load.sse or load.polls or load.deflate:
        raise ValueError("MQTT is measured without sse, polls and deflate")
    if load.mode == "pairs" and load.connections % 2:
        raise ValueError(f"pairs are of two connections each, got {load.connections}")


def _result(load: Load, found: dict[str, Any]) -> Result:
    reason = bytes(found.pop("reason")).partition(b"\0")[0].decode("utf-8", "replace")
    files_max = found.pop("files_max")
    if error := found.pop("error"):
        raise LoadError(Problem(error), reason, files_max, load.connections + load.bystanders)
    before, after = Memory(**found.pop("before")), Memory(**found.pop("after"))
    return Result(connections=load.connections, before=before, after=after, **found)
