"""A server runs on its core while the block lasts, and one that does not come up is told with what it said."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from chappe.bench.running import StartError, generator_core, pin, running
from chappe.bench.servers import Server, find

pytestmark = pytest.mark.slow


def program(text: str) -> Server:
    return Server(name="program", command=(sys.executable, "-c", text, "{port}"), speech={})


def test_a_server_listens_on_its_core_until_the_end_of_the_block() -> None:
    with running(find("floor")) as up:
        socket.create_connection(("127.0.0.1", up.port)).close()
        assert os.sched_getaffinity(up.pids[0]) == ({0} if (os.cpu_count() or 1) > 1 else os.sched_getaffinity(0))
        assert 0 < up.start_s < 20
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", up.port))


def test_a_server_that_ends_is_told_with_its_last_words() -> None:
    with (
        pytest.raises(StartError, match="program did not start: no licence"),
        running(program("import sys; print('well', flush=True); sys.exit('no licence')")),
    ):
        pass


def test_a_server_that_says_nothing_is_told_as_well() -> None:
    with pytest.raises(StartError, match="it printed nothing"), running(program("pass")):
        pass


def test_the_generator_leaves_its_core_after_the_block() -> None:
    before = os.sched_getaffinity(0)
    with generator_core():
        assert os.sched_getaffinity(0) == ({1} if (os.cpu_count() or 1) > 1 else before)
    assert os.sched_getaffinity(0) == before


def test_a_core_that_is_not_there_is_no_error() -> None:
    before = os.sched_getaffinity(0)
    pin(0, 1000)
    assert os.sched_getaffinity(0) == before
