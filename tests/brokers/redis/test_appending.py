"""Appends on their way, with a server that answers when the test says so."""

from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import pytest

from chappe.brokers.redis.appending import BATCH_APPENDS, Call, Pipeline, settle
from chappe.brokers.redis.connection import Command, ConnectionLost
from chappe.brokers.redis.entries import Keys
from chappe.brokers.redis.scripts import APPEND
from chappe.hub.contracts import Outcome
from chappe.model.error_codes import Code
from tests.brokers.redis.attending import item

KEYS = Keys("p", 0, in_cluster=False)


class Server:
    """Takes what a pipeline writes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pipeline = Pipeline("node", APPEND, lambda: self.now)
        self.flying: list[tuple[Command, Callable[[Any], None]]] = []

    def write(self) -> int:
        before = len(self.flying)
        self.pipeline.write("run", lambda partition: "g", self.flying.extend)
        return len(self.flying) - before

    def answer(self, *answers: Any) -> None:
        for answer in answers:
            self.flying.pop(0)[1](answer)


def append(*ways: Pipeline) -> list[Sequence[Outcome]]:
    told: list[Sequence[Outcome]] = []
    call = Call(len(ways), told.append)
    for index, way in enumerate(ways):
        way.add(item("a"), KEYS, call, index)
    return told


def tell(*ways: Pipeline) -> None:
    for call in settle(ways):
        call.done(call.outcomes)


def test_what_comes_while_others_fly_goes_in_one_write() -> None:
    server = Server()
    first = append(server.pipeline)
    assert server.write() == 1
    later = [append(server.pipeline) for _ in range(3)]
    assert server.write() == 0
    server.answer(b"e:1")
    assert server.write() == 3
    tell(server.pipeline)
    assert first[0][0].position.offset == 1
    assert later == [[], [], []]


def test_a_write_has_an_end() -> None:
    server = Server()
    for _ in range(BATCH_APPENDS + 5):
        append(server.pipeline)
    assert server.write() == BATCH_APPENDS


def test_answers_are_positions_duplicates_conflicts_and_refusals() -> None:
    server = Server()
    told = [append(server.pipeline) for _ in range(4)]
    server.write()
    server.answer(b"e:1", [1, b"d:7"], [114, b"e:1"], hiredis.ReplyError("OOM no memory"))
    tell(server.pipeline)
    outcomes = [each[0][0] for each in told]
    assert [outcome.error for outcome in outcomes] == [0, 0, Code.CONFLICT, Code.NOT_AVAILABLE]
    assert [outcome.duplicate for outcome in outcomes] == [False, True, False, False]
    assert outcomes[1].position.epoch == "d"
    assert server.pipeline.refusals == ["OOM no memory"]


def test_a_lost_connection_fails_what_flew_and_what_waited() -> None:
    server = Server()
    told = [append(server.pipeline)]
    server.write()
    told.append(append(server.pipeline))
    server.answer(ConnectionLost())
    server.pipeline.fail()
    tell(server.pipeline)
    assert [each[0][0].error for each in told] == [Code.NOT_AVAILABLE] * 2
    assert server.pipeline.is_idle


@pytest.mark.parametrize("lost", [False, True])
def test_what_a_server_without_scripts_refused_goes_again_in_its_order(lost: bool) -> None:
    server = Server()
    told = [append(server.pipeline) for _ in range(2)]
    server.write()
    later = append(server.pipeline)
    missing = hiredis.ReplyError("NOSCRIPT No matching script")
    server.answer(missing, ConnectionLost() if lost else missing)
    assert server.pipeline.needs_scripts
    if lost:
        tell(server.pipeline)
        assert [each[0][0].error for each in (*told, later)] == [Code.NOT_AVAILABLE] * 3
        return
    assert server.write() == 3
    server.answer(b"e:1", b"e:2", b"e:3")
    tell(server.pipeline)
    assert [each[0][0].position.offset for each in (*told, later)] == [1, 2, 3]


def test_a_server_that_never_has_the_scripts_is_not_asked_for_ever() -> None:
    server = Server()
    told = append(server.pipeline)
    for _ in range(2):
        server.write()
        server.answer(hiredis.ReplyError("NOSCRIPT No matching script"))
    tell(server.pipeline)
    assert told[0][0].error == Code.NOT_AVAILABLE


def test_calls_of_several_servers_are_told_in_their_order_at_each() -> None:
    one, other = Server(), Server()
    both = append(one.pipeline, other.pipeline)
    single = append(one.pipeline)
    for server in (one, other):
        server.write()
    one.answer(b"e:1", b"e:2")
    tell(one.pipeline, other.pipeline)
    assert (both, single) == ([], [])
    other.answer(b"f:1")
    tell(one.pipeline, other.pipeline)
    assert (len(both), len(single)) == (1, 1)
    assert (one.pipeline.told, other.pipeline.told) == (2, 1)


def test_lives_are_renewed_now_and_then() -> None:
    server = Server()

    def renewed() -> bool:
        append(server.pipeline)
        server.write()
        command, _ = server.flying[-1]
        server.answer(b"e:1")
        return command[3 + 5 + 8] != ""

    assert [renewed(), renewed()] == [True, False]
    server.now = 31.0
    assert [renewed(), renewed()] == [True, False]
