"""The generator counts what came, what did not, and what came twice; it says why it cannot measure."""

from __future__ import annotations

import pickle
import signal
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from chappe.bench.hub import hub
from chappe.bench.load import Load, LoadError, Mode, Problem, Result, run
from chappe.bench.running import running

from .serving import Group, PollServer, StreamServer, echo, measured, serving, to_all

pytestmark = pytest.mark.slow


def test_each_echo_is_counted_and_none_is_lost() -> None:
    with serving(echo) as port:
        result = measured(port, mode="echo")
    assert result.opened == 3
    assert result.deliveries > 3
    assert abs(result.sent - result.deliveries) <= 3
    assert (result.lost, result.repeated, result.closed) == (0, 0, 0)
    assert 0 < result.p50_us <= result.p99_us <= result.p999_us <= result.max_us


def test_latency_is_what_the_server_takes() -> None:
    def slowly(connection: ServerConnection) -> None:
        for message in connection:
            time.sleep(0.03)  # the thing measured, not a wait for a condition
            connection.send(message)

    with serving(slowly) as port:
        result = measured(port, mode="echo", connections=1, seconds=0.4)
    assert 30_000 <= result.p50_us < 300_000


@pytest.mark.parametrize("mode", ["fanout", "burst", "rooms"])
def test_everybody_gets_each_message(mode: Mode) -> None:
    with serving(Group(to_all).handle) as port:
        result = measured(port, mode=mode, burst=5)
    assert result.deliveries > 3
    assert (result.lost, result.repeated) == (0, 0)


def test_a_delivery_that_is_swallowed_is_told_as_lost() -> None:
    count = 0

    def swallow(members: list[ServerConnection], message: Any) -> None:
        nonlocal count
        count += 1
        to_all(members[1:] if count == 5 else members, message)

    with serving(Group(swallow).handle) as port:
        result = measured(port, mode="fanout", rate=100.0)
    assert (result.lost, result.repeated) == (1, 0)


def test_a_delivery_that_comes_twice_is_told() -> None:
    count = 0

    def double(members: list[ServerConnection], message: Any) -> None:
        nonlocal count
        count += 1
        to_all(members, message)
        if count == 5:
            members[1].send(message)

    with serving(Group(double).handle) as port:
        result = measured(port, mode="fanout", rate=100.0)
    assert (result.lost, result.repeated) == (0, 1)


def test_messages_out_of_order_are_told() -> None:
    held: list[Any] = []

    def swap(members: list[ServerConnection], message: Any) -> None:
        held.append(message)
        if len(held) == 2:
            to_all(members, held.pop())
            to_all(members, held.pop())

    with serving(Group(swap).handle) as port:
        result = measured(port, mode="fanout", rate=100.0)
    assert result.repeated > 0


def test_a_message_in_a_foreign_room_is_told() -> None:
    with serving(Group(to_all).handle) as port:
        result = measured(port, mode="rooms", connections=4, rooms=2)
    assert result.repeated > 0


def test_any_answer_acknowledges() -> None:
    def acknowledge(connection: ServerConnection) -> None:
        for _ in connection:
            connection.send("ok")

    with serving(acknowledge) as port:
        result = measured(port, mode="publish", inflight=4)
    assert result.deliveries > 3
    assert result.lost == 0


def test_a_connection_that_ends_is_counted_with_its_code_and_the_others_go_on() -> None:
    count = 0

    def close_one(members: list[ServerConnection], message: Any) -> None:
        nonlocal count
        count += 1
        if count == 5:
            members.pop().close(4001, "bye")
        to_all(members, message)

    with serving(Group(close_one).handle) as port:
        result = measured(port, mode="fanout")
    assert (result.closed, result.close_code) == (1, 4001)
    assert result.sent > 5


def test_an_open_loop_sends_what_is_due() -> None:
    with serving(Group(to_all).handle) as port:
        result = measured(port, mode="fanout", rate=100.0, seconds=0.5)
    assert 40 <= result.sent <= 50
    assert result.generator_share < 0.8


def test_first_messages_are_answered_before_a_connection_is_ready() -> None:
    seen: list[str] = []

    def greet(connection: ServerConnection) -> None:
        for message in connection:
            seen.append(str(message))
            connection.send("noise")
            connection.send(f"welcome {seen[-1]}")

    with serving(greet) as port:
        result = measured(port, mode="connect", connections=2, first=("a%i", "b%i"), answer="welcome")
    assert sorted(seen) == ["a0", "a1", "b0", "b1"]
    assert result.opened == 2
    assert 0 < result.opening_p50_us <= result.opening_p99_us


def test_bystanders_take_no_part() -> None:
    with serving(Group(to_all).handle) as port:
        result = measured(port, mode="fanout", bystanders=2, rate=100.0)
    assert result.opened == 5
    assert result.deliveries <= 3 * result.sent + 3
    assert result.lost == 0


def test_pings_of_engine_io_are_answered() -> None:
    answers: list[Any] = []

    def ping(connection: ServerConnection) -> None:
        connection.send("2")
        answers.append(connection.recv(5))

    with serving(ping) as port:
        measured(port, mode="idle", connections=1, engine_io=True)
    assert answers == ["3"]


def test_compressed_frames_are_deliveries() -> None:
    with serving(Group(to_all).handle, compression="deflate") as port:
        result = measured(port, mode="fanout", deflate=True, payload_bytes=500)
    assert result.deliveries > 3
    assert result.compressed >= result.deliveries
    assert (result.lost, result.repeated) == (0, 0)


def test_tls_carries_the_same(tmp_path: Path) -> None:
    hub(tmp_path, tls=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with serving(echo, ssl=context) as port:
        result = measured(port, mode="echo", tls=True, payload_bytes=5000)
    assert result.deliveries > 3
    assert result.lost == 0


def test_server_sent_events_are_deliveries() -> None:
    with StreamServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.server_address[1]
        result = measured(port, mode="fanout", sse=True, stream_path="/events", path="/ws", rate=100.0)
        server.shutdown()
        thread.join()
    assert result.opened == 4
    assert result.deliveries > 3
    assert (result.lost, result.repeated) == (0, 0)


def polled(meddle: Any = None, **wanted: Any) -> tuple[Result, PollServer]:
    """Measure long polls of a server that does to its answers what a test wants."""
    with PollServer(meddle) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        options = {"mode": "fanout", "path": "/ws", "rate": 100.0, "answer": "reply", **wanted}
        try:
            return measured(server.server_address[1], polls=True, **options), server
        finally:
            server.shutdown()
            thread.join()


def test_each_poll_acknowledges_the_one_before_and_is_counted() -> None:
    result, server = polled(first=("a%i", "b"), connections=3)
    assert (result.opened, result.closed) == (4, 0)
    assert sorted(server.posted) == [b"[a0,b]", b"[a1,b]", b"[a2,b]"]
    assert result.polls > 3
    assert result.deliveries >= result.polls
    assert (result.lost, result.repeated) == (0, 0)


def test_several_publications_in_one_answer_are_one_poll() -> None:
    result, _ = polled(mode="burst", burst=8)
    assert result.deliveries > result.polls > 3
    assert (result.lost, result.repeated) == (0, 0)


def test_polls_wait_longer_than_the_server_holds_them() -> None:
    result, _ = polled(rate=4.0, seconds=0.9)
    assert 3 <= result.polls <= 12
    assert (result.lost, result.repeated) == (0, 0)


def test_an_answer_that_lost_a_publication_or_has_one_twice_is_told() -> None:
    result, _ = polled(lambda number, session, told: (session, told[number == 5 :]))
    assert (result.lost, result.repeated) == (1, 0)
    result, _ = polled(lambda number, session, told: (session, told[: number == 5] + told))
    assert (result.lost, result.repeated) == (0, 1)


def test_an_answer_to_another_session_is_told() -> None:
    result, _ = polled(lambda number, session, told: ("other" if number == 5 else session, told))
    assert (result.lost, result.repeated) == (0, 1)


def test_a_session_that_may_not_subscribe_is_refused_with_what_was_said() -> None:
    with pytest.raises(LoadError) as caught:
        polled(answer="granted")
    assert caught.value.problem is Problem.REFUSED
    assert caught.value.reason == '200 {"messages":[{"type":"reply"}]}'


def test_a_hub_answers_polls(tmp_path: Path) -> None:
    server = hub(tmp_path)
    with running(server) as up:
        wanted = {**server.speech["fanout"], "pids": up.pids, "inflight": 4, "connections": 20}
        result = measured(up.port, mode="fanout", polls=True, **wanted)
    assert (result.opened, result.closed, result.lost, result.repeated) == (21, 0, 0, 0)
    assert result.deliveries > result.polls > 20
    assert result.polls_per_cpu_s > 0


def test_a_refusal_says_what_the_server_said() -> None:
    def refuse(connection: ServerConnection, _: Any) -> Any:
        return connection.respond(403, "no")

    with serving(echo, process_request=refuse) as port, pytest.raises(LoadError) as caught:
        measured(port, mode="echo")
    assert caught.value.problem is Problem.REFUSED
    assert "403" in caught.value.reason


def test_nobody_there_is_the_systems_word(free_port: int) -> None:
    with pytest.raises(LoadError) as caught:
        measured(free_port, mode="echo")
    assert caught.value.problem is Problem.SYSTEM
    assert "refused" in caught.value.reason


def test_more_connections_than_files_are_refused_with_the_limit() -> None:
    with pytest.raises(LoadError) as caught:
        run(Load(mode="echo", port=1, connections=100_000_000 // 16))
    assert caught.value.problem is Problem.FILES
    assert caught.value.files_max > 0


@pytest.mark.parametrize(
    "wanted",
    [
        {"mode": "echo", "deflate": True},
        {"mode": "echo", "connections": 0},
        {"mode": "rooms", "rooms": 0},
        {"mode": "echo", "polls": True},
    ],
)
def test_options_that_contradict_each_other_are_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        run(Load(port=1, **wanted))


def test_an_error_crosses_from_one_process_to_another() -> None:
    copy = pickle.loads(pickle.dumps(LoadError(Problem.FILES, "", 10, 20)))
    assert (copy.problem, copy.files_max, copy.connections, str(copy)) == (Problem.FILES, 10, 20, "files")


def test_a_signal_ends_a_run_at_once() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with serving(echo) as port:
            timer = threading.Timer(
                0.3, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            )
            timer.start()
            began = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                measured(port, mode="echo", seconds=20.0)
            timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - began < 5
