"""Logs are lines of JSON that any language can write."""

from pathlib import Path

import pytest

from chappe.testing.checker import Journal, payload_hash, read_events
from chappe.testing.checker.defects import good_log
from chappe.testing.checker.journal import Seen, Subscribed


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with path.open("w") as file:
        journal = Journal(file)
        for event in good_log():
            journal.write(event)
    assert list(read_events([path])) == good_log()


def test_a_line_of_another_language_may_have_more_members(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"event":"publication","subscriber":"s","channel":"a","epoch":"x","offset":3,"hash":"00","time":1.5,"page":2}\n'
        "\n"
        '{"event":"subscribed","subscriber":"s","channel":"a","epoch":"x","offset":3,"since":null,"recovered":false}\n'
    )
    seen, subscribed = read_events([path])
    assert seen == Seen(subscriber="s", channel="a", epoch="x", offset=3, hash="00", time=1.5)
    assert subscribed == Subscribed(subscriber="s", channel="a", epoch="x", offset=3)


def test_the_line_a_killed_process_was_writing_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"event":"closed","subscriber":"s","channel":"a"}\n{"event":"clo')
    assert len(list(read_events([path]))) == 1


def test_a_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"event":"closed","subscriber":"s","channel":"a"}\n{"event":"surprise"}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl:2 is no event"):
        list(read_events([path]))


def test_the_hash_of_a_payload_is_the_start_of_its_sha_256() -> None:
    assert payload_hash(b"") == "e3b0c44298fc1c14"
