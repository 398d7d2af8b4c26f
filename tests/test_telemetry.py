"""The log has one line a record, no secret and no forged line; metrics are Prometheus text."""

import datetime
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from chappe.telemetry import (
    DescriptorHandler,
    JsonFormatter,
    LogOptions,
    TextFormatter,
    default_log_file,
    escape,
    labelled,
    log_blocked_loop,
    logging_to,
    redact,
    render_metrics,
)

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[(ERROR|WARNING|INFO|DEBUG)\] ")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlc2lnbmF0dXJl"


def written(tmp_path: Path, write: Callable[[logging.Logger], None], **options: Any) -> list[str]:
    """Return the lines of a log, without its banners."""
    path = tmp_path / "hub.log"
    with logging_to(LogOptions(file=path, **options)):
        write(logging.getLogger("chappe.server"))
    lines = path.read_text(encoding="utf-8").splitlines()
    margin = 1 if options.get("format") == "json" else 3
    return lines[margin:-margin]


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "args": arguments, "levelname": "INFO", "name": "chappe.x", **extra})


def test_a_line_has_time_with_milliseconds_level_and_message() -> None:
    line = TextFormatter(utc=True).format(record("connect %s", "9f", created=1795348800.1234))
    assert line == "[2026-11-22 12:00:00.123] [INFO] connect 9f"


def test_without_utc_the_time_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        line = TextFormatter().format(record("x", created=1795348800.0))
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert line.startswith("[2026-11-22 13:00:00.000]")


def test_a_json_line_has_utc_time_level_logger_message_and_extras() -> None:
    line = JsonFormatter().format(
        record("connect %s", "9f", created=1795348800.1234, session="9f", n=3, x=[1, {"a": 2}])
    )
    assert json.loads(line) == {
        "time": "2026-11-22T12:00:00.123Z",
        "level": "INFO",
        "logger": "chappe.x",
        "message": "connect 9f",
        "session": "9f",
        "n": 3,
        "x": [1, {"a": 2}],
    }


def test_banners_stand_at_both_ends_whatever_the_level(tmp_path: Path) -> None:
    path = tmp_path / "hub.log"
    with logging_to(LogOptions(file=path, level="ERROR"), details="chappe 1.0"):
        logging.getLogger("chappe.server").info("not written")
    lines = path.read_text().splitlines()
    assert lines[1].endswith("[INFO] log starts: chappe 1.0")
    assert "log ends after" in lines[-2]
    assert len(lines) == 6


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "hub.log"
    path.write_text("before é\n", encoding="utf-8")
    written(tmp_path, lambda logger: logger.info("après"))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before é\n")
    assert "après" in text


@pytest.mark.parametrize(("level", "expected"), [("ERROR", 1), ("WARNING", 2), ("INFO", 3), ("DEBUG", 4)])
def test_each_level_writes_itself_and_what_is_worse(tmp_path: Path, level: str, expected: int) -> None:
    def write(logger: logging.Logger) -> None:
        for name in ("error", "warning", "info", "debug"):
            getattr(logger, name)("message")

    lines = written(tmp_path, write, level=level)
    assert len(lines) == expected
    assert all(LINE.match(line) for line in lines)


def test_after_the_block_the_logger_is_as_before(tmp_path: Path) -> None:
    logger = logging.getLogger("chappe")
    before = logger.level, logger.propagate, list(logger.handlers)
    with pytest.raises(RuntimeError), logging_to(LogOptions(file=tmp_path / "log")):
        raise RuntimeError
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"), logging_to(LogOptions(file=tmp_path / "nowhere" / "log")):
        pass


def test_a_file_without_a_name_is_named_after_its_start() -> None:
    moment = datetime.datetime(2026, 11, 22, 9, 8, 7, tzinfo=datetime.UTC)
    assert default_log_file(moment) == "websocket_20261122_090807.log"


SECRETS = [
    "Authorization: Bearer s3cretvalue",
    "[(b'authorization', b'Bearer s3cretvalue'), (b'host', b'x')]",
    '{"Authorization": "Basic s3cretvalue"}',
    "Cookie: session=s3cretvalue; other=s3cretvalue",
    "Set-Cookie: id=s3cretvalue; HttpOnly",
    "bearer s3cretvalue",
    "GET /signalr/chat?access_token=s3cretvalue&id=1",
    "GET /ws?ticket=s3cretvalue HTTP/1.1",
    "GET /ws?%74icket=chappe-ticket-0123456789abcdef5ec2e7",
    "GET /poll?session=s3cretvalue&cursor=3",
    "Chappe-Session: s3cretvalue",
    '{"type":"connect","token":"s3cretvalue"}',
    '{"resume": "s3cretvalue, with words"}',
    "resume='s3cretvalue'",
    r"{\"token\":\"s3cretvalue\"}",
    "password=s3cretvalue",
    "X-Api-Key: s3cretvalue",
    "redis://user:s3cretvalue@localhost/0",
    "redis://:s3cretvalue@localhost/0",
    "key chappe_s3cretvalue0123456789012345678901234567890123",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_redacted_in_both_formats(text: str) -> None:
    told = (
        redact(text),
        TextFormatter().format(record("got %s", text)),
        JsonFormatter().format(record("got %s", text, header=text, nested={"list": [text]})),
    )
    assert not [line for line in told if "s3cret" in line or "5ec2e7" in line]


#: What stands before a secret; what it is called may be the end of a longer word.
NAMES = [
    "token=",
    "auth_token: ",
    '"resume":"',
    "&access_token=",
    "mypassword='",
    "client_secret = ",
    "x session=",
    "Cookie: ",
]
HANDLE = "0123456789abcdef" * 2 + "0badcafe"


@given(
    before=st.text(max_size=30),
    after=st.text(max_size=30),
    name=st.sampled_from(NAMES),
    end=st.sampled_from([" ", "&", "\n", '"', "'", ",", "}"]),
)
def test_no_line_has_a_secret_whatever_stands_around_it(before: str, after: str, name: str, end: str) -> None:
    text = f"{before}{name}{HANDLE}{end}{after}"
    for formatter in (TextFormatter(), JsonFormatter()):
        assert HANDLE not in formatter.format(record("got %s", text, extra=[{"a": text}], resume=HANDLE))


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a-",
        "eyJ-",
        "://",
        ":",
        "x://:",
        "token",
        "token =",
        "session=",
        "?session=",
        "Bearer ",
        '\\"',
        "chappe_",
        "chappe-ticket-",
        " ",
    ],
)
@pytest.mark.parametrize("before", ["", "redis://", "token=", "Cookie"])
def test_a_hostile_line_is_redacted_in_time_in_proportion_to_its_length(before: str, piece: str) -> None:
    """Quadratic work on half a megabyte would take minutes; the time a test may take catches that."""
    assert redact(before + piece * (500_000 // len(piece)))


def test_a_jwt_is_redacted_wherever_it_stands() -> None:
    assert redact(f"weird{{{JWT}}}") == "weird{[redacted]}"


def test_extras_named_like_secrets_are_redacted() -> None:
    line = JsonFormatter().format(record("x", token="abc", headers={"cookie": "abc", "host": "h"}))
    assert json.loads(line)["token"] == "[redacted]"
    assert json.loads(line)["headers"] == {"cookie": "[redacted]", "host": "h"}


@pytest.mark.parametrize(
    "text",
    [
        "connect 9f from 127.0.0.1 user ada",
        "token expired",
        "session=9f ended with 3001",
        "http://127.0.0.1:8080/ws",
        '{"channel":"news"}',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_the_name_of_a_redacted_member_and_what_follows_it_stay() -> None:
    assert redact('{"token":"abc","id":1}') == '{"token":"[redacted]","id":1}'
    assert redact("/ws?ticket=abc&lang=fr") == "/ws?ticket=[redacted]&lang=fr"


HOSTILE = "a\n[2026-01-01 00:00:00.000] [INFO] forged\r\x1b[2J\x9b\u2028\u202e\x7f\ud800"


def test_control_characters_cannot_forge_a_line() -> None:
    text = TextFormatter().format(record("%s", HOSTILE))
    assert "\n" not in text
    assert r"a\n[2026" in text
    line = JsonFormatter().format(record("%s", HOSTILE))
    assert "\n" not in line
    assert json.loads(line)["message"] == HOSTILE


@given(st.text())
def test_any_text_becomes_one_printable_line_in_both_formats(text: str) -> None:
    for line in (TextFormatter().format(record("%s", text)), JsonFormatter().format(record("%s", text))):
        assert len(line.splitlines()) == 1
        line.encode("utf-8")
    assert escape(escape(text)) == escape(text)


def test_a_traceback_is_indented_and_redacted(tmp_path: Path) -> None:
    def write(logger: logging.Logger) -> None:
        try:
            raise ValueError("token=s3cretvalue\n[2026-01-01 00:00:00.000] [INFO] forged")
        except ValueError:
            logger.exception("hook failed")

    lines = written(tmp_path, write)
    assert LINE.match(lines[0])
    assert lines[1] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in lines[1:])
    assert "s3cret" not in "\n".join(lines)


def test_wrong_arguments_still_give_a_line() -> None:
    assert TextFormatter().format(record("%d clients", "x")).endswith("%d clients ('x',)")


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    def write(logger: logging.Logger) -> None:
        def work(name: str) -> None:
            for _ in range(50):
                logger.info("%s", name * 300)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    lines = written(tmp_path, write)
    assert len(lines) == 300
    assert all(len(set(line.rpartition(" ")[2])) == 1 for line in lines)


def test_a_closed_pipe_loses_lines_and_not_the_hub() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    handler = DescriptorHandler(writer, owned=True)
    handler.handle(record("x"))
    handler.close()
    handler.close()
    assert handler.lost == 1


def test_a_blocked_loop_is_logged_with_its_stack(tmp_path: Path) -> None:
    leave = threading.Event()

    def the_function_that_blocks() -> None:
        leave.wait()

    thread = threading.Thread(target=the_function_that_blocks)
    thread.start()
    try:
        lines = written(tmp_path, lambda _: log_blocked_loop(thread.ident or 0, 12.34))
    finally:
        leave.set()
        thread.join()
    assert "event loop blocked for 12.3 s" in lines[0]
    assert any("the_function_that_blocks" in line for line in lines[1:])
    assert "the thread is gone" in written(tmp_path, lambda _: log_blocked_loop(1, 1.0))[-1]


def test_metrics_are_counters_and_gauges_in_prometheus_text() -> None:
    snapshot = {
        "chappe_sessions": 3,
        labelled("chappe_frames_total", protocol="classic", way="in"): 5,
        labelled("chappe_frames_total", protocol='a"b\\c\nd'): 7,
        "chappe_lag_s": 0.25,
    }
    text = render_metrics(snapshot, {"chappe_sessions": "open sessions\nnow"}).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["chappe_sessions"].type == "gauge"
    assert families["chappe_sessions"].documentation == "open sessions now"
    frames = families["chappe_frames"]
    assert frames.type == "counter"
    assert [(sample.labels, sample.value) for sample in frames.samples] == [
        ({"protocol": "classic", "way": "in"}, 5.0),
        ({"protocol": 'a"b\\c\nd'}, 7.0),
    ]
    assert families["chappe_lag_s"].samples[0].value == 0.25


def test_infinities_and_nan_have_prometheus_names() -> None:
    text = render_metrics({"a": float("inf"), "b": float("-inf"), "c": float("nan")}).decode()
    assert [line.split(" ")[1] for line in text.splitlines() if not line.startswith("#")] == ["+Inf", "-Inf", "NaN"]


def test_a_name_without_labels_is_itself() -> None:
    assert labelled("chappe_sessions") == "chappe_sessions"
