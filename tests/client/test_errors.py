"""Errors of the client: code, text and whether a retry may help."""

from chappe.client.errors import ClientClosed, ConnectionLost, QueueFull, TimedOut, Unconfirmed
from chappe.model.errors import ChappeError


def test_all_are_chappe_errors_with_a_code_of_the_table() -> None:
    errors: list[tuple[ChappeError, int, bool]] = [
        (ConnectionLost(1006, "cut"), 108, True),
        (ConnectionLost(3503, "an operator", final=True), 3503, False),
        (ClientClosed(), 108, False),
        (QueueFull("publish_queue", 10, "full"), 106, False),
        (Unconfirmed("news", "k"), 108, False),
        (TimedOut("history", 10), 123, True),
    ]
    assert [(error.code, error.retry) for error, _, _ in errors] == [(code, retry) for _, code, retry in errors]


def test_a_timeout_can_be_caught_as_one() -> None:
    error = TimedOut("history", 10)
    assert isinstance(error, TimeoutError)
    assert str(error) == "no answer to history within 10 s (code 123)"


def test_a_lost_connection_without_words_has_those_of_its_code() -> None:
    assert ConnectionLost(3001, "").reason == "the hub is shutting down"
