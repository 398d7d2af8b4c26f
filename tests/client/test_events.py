"""Listeners."""

import asyncio

import pytest

from chappe.client import events as module
from chappe.client.events import Events
from chappe.model.errors import LocalProtocolError


def test_listeners_are_called_at_once_in_the_order_they_were_added() -> None:
    events, calls = Events(), []
    events.on("disconnected", lambda code: calls.append(("first", code)))
    events.on("disconnected", lambda code: calls.append(("second", code)))
    events.emit("disconnected", 3001)
    assert calls == [("first", 3001), ("second", 3001)]


def test_an_unknown_event_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(LocalProtocolError, match="reconnecting, gave_up"):
        Events().on("reconect", print)


def test_a_listener_that_was_taken_off_is_not_called() -> None:
    events = Events()
    calls: list[str] = []
    listener = events.on("connected", lambda: calls.append("x"))
    events.off("connected", listener)
    events.off("connected", listener)
    events.emit("connected")
    assert not calls
    assert not events.has("connected")


def test_a_failing_listener_is_told_as_error_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    errors: list[Exception] = []
    calls: list[str] = []

    def fail() -> None:
        raise ValueError("no")

    events.on("connected", fail)
    events.on("connected", lambda: calls.append("after"))
    events.on("error", errors.append)
    events.emit("connected")
    assert calls == ["after"]
    assert [str(error) for error in errors] == ["no"]
    assert "a listener of 'connected' failed" in caplog.text


def test_a_failing_listener_of_error_is_not_told_of_itself() -> None:
    events = Events()

    def fail(error: Exception) -> None:
        raise ValueError("again")

    events.on("error", fail)
    events.emit("error", ValueError("first"))


async def test_asynchronous_listeners_run_one_after_the_other() -> None:
    events = Events()
    calls: list[str] = []

    async def slow(message: str) -> None:
        calls.append(f"begin {message}")
        await asyncio.sleep(0)
        calls.append(f"end {message}")

    events.on("message", slow)
    events.emit("message", "a")
    events.emit("message", "b")
    assert calls == [], "the connection does not wait for them"
    await events.close()
    assert calls == ["begin a", "end a", "begin b", "end b"]


async def test_a_failing_asynchronous_listener_is_told_as_error() -> None:
    events = Events()
    errors: list[Exception] = []

    async def fail() -> None:
        raise ValueError("no")

    events.on("connected", fail)
    events.on("error", errors.append)
    events.emit("connected")
    await events.close()
    assert [str(error) for error in errors] == ["no"]


async def test_more_listeners_than_can_wait_are_dropped_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    events = Events()
    calls: list[int] = []

    async def listen(number: int) -> None:
        calls.append(number)

    events.on("message", listen)
    for number in range(3):
        events.emit("message", number)
    await events.close()
    assert calls == [0, 1]
    assert "was not run" in caplog.text


async def test_a_listener_that_never_ends_is_cancelled_in_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CLOSE_GRACE_S", 0.01)
    events = Events()

    async def hang() -> None:
        await asyncio.Event().wait()

    events.on("connected", hang)
    events.emit("connected")
    events.emit("connected")
    await events.close()
    assert "was cancelled" in caplog.text


async def test_a_listener_may_close_its_own_client() -> None:
    events = Events()
    closed = asyncio.Event()

    async def close() -> None:
        await events.close()
        closed.set()

    events.on("connected", close)
    events.emit("connected")
    await closed.wait()
    await events.close()
