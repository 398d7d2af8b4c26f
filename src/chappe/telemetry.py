"""Write the log and the metrics.

Loggers are named after layers (`chappe.server`, `chappe.session`, ...) and take values as arguments. A line is
`[2026-11-22 12:00:00.123] [INFO] message`, in the local time of the process unless UTC is asked for; JSON lines always
carry UTC. Redaction and escaping happen in the formatter, so that no logger can forget them.
"""

import datetime
import json
import logging
import math
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

LEVELS: Final = ("ERROR", "WARNING", "INFO", "DEBUG")
REDACTED: Final = "[redacted]"
BANNER: Final = "=" * 72

_log = logging.getLogger("chappe.telemetry")

_STANDARD_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# One alternation a kind of secret. The name stays, so that a reader sees what was there. Nothing is tried twice over a
# long run of characters: lines may be as long as a message, and a peer chooses what is in it.
_SECRETS: Final = re.compile(
    r"""
      (?P<header>authorization|cookie|chappe-session|x-api-key)  # up to the end of the line
        (?P<colon>["']?\s*[:=,]\s*(?:b(?=["']))?["']?)[^"'\r\n]+
    | (?P<scheme>\b(?:bearer|basic))\s+[A-Za-z0-9._~+/=-]{6,}
    | (?P<member>(?:token|ticket|resume|password|passwd|password_hash|secret|api_key|apikey|private_key)
        \\?["']?\s*[:=]\s*)
        (?: (?P<open>\\?)(?P<quote>["'])(?:(?!(?P=quote))[^\r\n])* | [^\s"'\\&,;})\]]+ )
    | (?P<query>[?&](?:session|key|sig|signature)=)[^\s"'&#]+  # a polling session's private handle; keys of webhooks
    | (?P<handle>session\\?["']?\s*[:=]\s*\\?["']?)[0-9a-f]{32,}  # the same elsewhere; public ids are shorter
    | (?P<url>\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@:"']*:[^\s/@"']*@      # user:password@host
    | (?<![A-Za-z0-9_-])ey[JK][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?   # a JWT, wherever it is
    | \bchappe_[A-Za-z0-9_-]{20,}                                # an API key of ours
    | \bchappe-ticket-[0-9a-f]{16,}                              # a ticket
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SECRET_NAMES: Final = frozenset(
    [
        "access_token",
        "api_key",
        "authorization",
        "chappe-session",
        "cookie",
        "handle",
        "password",
        "password_hash",
        "proxy-authorization",
        "refresh_token",
        "resume",
        "secret",
        "set-cookie",
        "ticket",
        "token",
        "x-api-key",
    ]
)
# C0, DEL, C1, what terminals and editors take for a new line, and bidirectional controls, which can forge a line.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LONE_SURROGATES: Final = re.compile("[\ud800-\udfff]")


class LogOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Say what is logged, how and where.

    Attributes:
        level: least severe level that is written.
        format: `text` for people, `json` for one object a line.
        file: file to append to; None writes to standard error.
        utc: whether text lines carry UTC.
    """

    level: Literal["ERROR", "WARNING", "INFO", "DEBUG"] = "INFO"
    format: Literal["text", "json"] = "text"
    file: str | os.PathLike[str] | None = None
    utc: bool = False


def redact(text: str) -> str:
    """Return the text with every secret in it replaced: tokens, credentials, cookies, private handles."""
    return _SECRETS.sub(_redacted, text)


def _redacted(match: re.Match[str]) -> str:
    groups = match.groupdict()
    if groups["header"]:
        return f"{groups['header']}{groups['colon']}{REDACTED}"
    if groups["scheme"]:
        return f"{groups['scheme']} {REDACTED}"
    if groups["url"]:
        return f"{groups['url']}{REDACTED}@"
    if groups["quote"]:
        # A backslash before the closing quote belongs to the quoting around, as in JSON inside JSON.
        return f"{groups['member']}{groups['open']}{groups['quote']}{REDACTED}{groups['open']}"
    return f"{groups['member'] or groups['query'] or groups['handle'] or ''}{REDACTED}"


def escape(text: str) -> str:
    r"""Return the text on one line: control characters, line separators and lone surrogates become `\n`, `\x1b`, ..."""
    return _LONE_SURROGATES.sub(_escaped, _CONTROLS.sub(_escaped, text))


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def default_log_file(now: datetime.datetime) -> str:
    """Return the name of a log file for which none was given: `websocket_YYYYMMDD_HHMMSS.log`."""
    return now.strftime("websocket_%Y%m%d_%H%M%S.log")


def _json_escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


class TextFormatter(logging.Formatter):
    """Write `[time] [LEVEL] message`, one record a line; a traceback follows, indented so that it forges no line."""

    def __init__(self, *, utc: bool = False) -> None:
        super().__init__()
        self._zone = datetime.UTC if utc else None

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text without the final newline."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC).astimezone(self._zone)
        time_text = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
        line = f"[{time_text}] [{record.levelname}] {escape(redact(_message(record)))}"
        return "\n    ".join([line, *(escape(part) for part in _trace(record))])


class JsonFormatter(logging.Formatter):
    """Write one JSON object a line: time (RFC 3339, UTC), level, logger, message, exception, and every extra."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": redact(_message(record)),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD_ATTRIBUTES:
                line[name] = _public(name, value)
        if trace := _trace(record):
            line["exception"] = trace
        return _escaped_json(line)


def json_line(members: Mapping[str, Any]) -> str:
    """Return members as one line of JSON without secrets, whatever they hold; for files beside the log."""
    return _escaped_json({name: _public(name, value) for name, value in members.items()})


def _escaped_json(line: Mapping[str, Any]) -> str:
    return _CONTROLS.sub(_json_escaped, _LONE_SURROGATES.sub(_json_escaped, json.dumps(line, ensure_ascii=False)))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # A wrong format string must not cost the line that somebody needs.
        return f"{record.msg} {record.args!r}"


def _trace(record: logging.LogRecord) -> list[str]:
    lines: list[str] = []
    if record.exc_info and record.exc_info[0] is not None:
        lines = "".join(traceback.format_exception(*record.exc_info)).splitlines()
    if record.stack_info:
        lines += record.stack_info.splitlines()
    return [redact(line) for line in lines]


def _public(name: str, value: Any) -> Any:
    if name.lower() in _SECRET_NAMES:
        return REDACTED
    if isinstance(value, Mapping):
        return {str(key): _public(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_public("", inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


class DescriptorHandler(logging.Handler):
    """Write each record with one `write` to a descriptor opened for appending, in UTF-8.

    Threads are kept apart by the handler's lock and worker processes by O_APPEND: lines never mix. A full disk or a
    closed pipe loses lines, not the hub: they are counted in `lost`.
    """

    def __init__(self, descriptor: int, *, owned: bool) -> None:
        super().__init__()
        self._descriptor, self._owned = descriptor, owned
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; called by `logging` with the lock held."""
        try:
            data = memoryview((self.format(record) + "\n").encode("utf-8"))
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """Close the file if it is ours."""
        self.acquire()
        try:
            if self._owned:
                os.close(self._descriptor)
                self._owned = False
        finally:
            self.release()
        super().close()


@contextmanager
def logging_to(options: LogOptions, *, name: str = "chappe", details: str = "") -> Iterator[logging.Handler]:
    """Log everything below the logger `name` while the block runs, between a start and an end banner.

    The handler and level that were there before come back at the end, also when the block fails.

    Args:
        options: what, how and where.
        name: root of the loggers; another program's loggers are left alone.
        details: what the start banner says beside the time, such as version and address.

    Raises:
        OSError: the file cannot be opened for appending.
    """
    handler = _handler(options)
    logger = logging.getLogger(name)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(options.level)
    logger.propagate = False
    started = time.monotonic()
    try:
        _banner(handler, f"log starts: {details}" if details else "log starts")
        yield handler
    finally:
        _banner(handler, f"log ends after {time.monotonic() - started:.1f} s")
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        handler.close()


def _handler(options: LogOptions) -> DescriptorHandler:
    if options.file is None:
        handler = DescriptorHandler(sys.__stderr__.fileno() if sys.__stderr__ else 2, owned=False)
    else:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        handler = DescriptorHandler(os.open(Path(options.file), flags, 0o640), owned=True)
    handler.setFormatter(JsonFormatter() if options.format == "json" else TextFormatter(utc=options.utc))
    return handler


def _banner(handler: logging.Handler, text: str) -> None:
    """Write what a reader looks for first, past the level: an ERROR file has its banners too."""
    ruled = (text,) if isinstance(handler.formatter, JsonFormatter) else (BANNER, text, BANNER)
    for line in ruled:
        handler.handle(logging.makeLogRecord({"name": _log.name, "levelname": "INFO", "msg": line}))


def log_blocked_loop(thread_id: int, blocked_s: float) -> None:
    """Log that the event loop of a thread stands still, with the stack that holds it; call it from another thread.

    Args:
        thread_id: `threading.get_ident()` of the loop's thread.
        blocked_s: seconds since the loop last turned.
    """
    frame = sys._current_frames().get(thread_id)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "the thread is gone"
    logger = logging.getLogger("chappe.watchdog")
    text = "event loop blocked for %.1f s, its stack follows; run what blocks in a thread (blocking=True)"
    record = logger.makeRecord(logger.name, logging.ERROR, __file__, 0, text, (blocked_s,), None, sinfo=stack)
    logger.handle(record)


def labelled(name: str, **labels: str) -> str:
    """Return the snapshot key of a metric with labels: `labelled("chappe_frames_total", protocol="classic")`."""
    pairs = ",".join(f'{label}="{_label_value(value)}"' for label, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}" if pairs else name


def render_metrics(snapshot: Mapping[str, float], texts: Mapping[str, str] | None = None) -> bytes:
    """Return counters and gauges in the text format of Prometheus (0.0.4), in the order of the snapshot.

    Args:
        snapshot: values by metric name, labelled ones by `labelled(...)`; names that end in `_total` are counters, the
            others gauges.
        texts: what each metric counts, by name without labels; shown as HELP.
    """
    families: dict[str, list[str]] = {}
    for key, value in snapshot.items():
        name = key.partition("{")[0]
        families.setdefault(name, []).append(f"{key} {_number(value)}\n")
    lines: list[str] = []
    for name, samples in families.items():
        if texts and name in texts:
            lines.append(f"# HELP {name} {texts[name].replace(chr(92), chr(92) * 2).replace(chr(10), ' ')}\n")
        lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}\n")
        lines += samples
    return "".join(lines).encode("utf-8")


def _label_value(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN" if math.isnan(value) else repr(value))
