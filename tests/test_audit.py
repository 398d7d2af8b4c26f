"""The audit log: whole lines whatever happens, begun anew by size, no secrets, no flood, and never in the way."""

import json
import logging
import multiprocessing
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from chappe.app import Hub
from chappe.audit import AuditLog
from chappe.auth.passwords import hash_password
from chappe.config import load
from chappe.model.errors import ConfigurationError
from chappe.serving import Server
from chappe.telemetry import json_line


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_when_and_what_and_what_every_line_says(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", 1_000, 3, node="n1")
    log.write("command", {"by": "token of ada", "channel": "chat/a\nforged\u2028\x1b[2J"})
    log.close()
    (line,) = lines_of(tmp_path / "audit")
    assert line["time"].endswith("Z")
    assert (line["event"], line["node"], line["by"]) == ("command", "n1", "token of ada")
    assert line["channel"] == "chat/a\nforged\u2028\x1b[2J"
    raw = (tmp_path / "audit").read_bytes()
    assert raw.count(b"\n") == 1
    assert b"\x1b" not in raw
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o640


def test_a_large_file_is_begun_anew_and_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    log = AuditLog(path, 1_000, 3)
    for number in range(100):
        log.write("command", {"number": number, "text": "x" * 100})
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["audit", "audit.1", "audit.2"]
    kept = [line["number"] for name in ("audit.2", "audit.1", "audit") for line in lines_of(tmp_path / name)]
    assert kept == list(range(kept[0], 100))
    assert all(file.stat().st_size <= 1_000 for file in tmp_path.iterdir())


def test_one_kept_file_is_the_current_one(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", 300, 1)
    for number in range(20):
        log.write("command", {"number": number})
    assert [file.name for file in tmp_path.iterdir()] == ["audit"]
    assert lines_of(tmp_path / "audit")[-1]["number"] == 19


def write_many(path: Path, writer: int) -> None:
    log = AuditLog(path, 20_000, 100, writer=writer)
    for number in range(500):
        log.write("command", {"number": number, "text": "x" * 100})
    os._exit(0 if log.lines == 500 else 1)


@pytest.mark.slow
def test_several_processes_share_a_file_and_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(path, writer)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = [(line["writer"], line["number"]) for file in tmp_path.iterdir() for line in lines_of(file)]
    assert len(list(tmp_path.iterdir())) > 5
    assert sorted(found) == [(writer, number) for writer in range(4) for number in range(500)]


def test_a_flood_of_refusals_is_cut_and_counted_and_commands_are_not(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", 10_000_000, 2)
    for _ in range(1_000):
        log.write("refused", {"code": 103})
    log.write("command", {"by": "x"})
    found = lines_of(tmp_path / "audit")
    refusals = [line for line in found if line["event"] == "refused"]
    assert 200 <= len(refusals) < 400
    told = sum(line.get("suppressed", 0) for line in found)
    assert told == log.suppressed == 1_000 - len(refusals)
    assert found[-1]["event"] == "command"
    log.close()


def test_a_full_disk_loses_lines_says_so_once_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog("/dev/full", 1_000, 3)
    with caplog.at_level(logging.ERROR, "chappe.audit"):
        for _ in range(3):
            log.write("command", {"by": "x"})
    log.close()
    assert log.metrics() == {
        "chappe_audit_lines_total": 0,
        "chappe_audit_suppressed_total": 0,
        "chappe_audit_lost_total": 3,
    }
    assert len(caplog.records) == 1


async def test_a_hub_whose_audit_file_cannot_be_written_does_not_start(tmp_path: Path) -> None:
    hub = Hub(settings=load(os.devnull, {}, {"log.audit_file": str(tmp_path / "no" / "audit")}).settings)
    with pytest.raises(ConfigurationError, match=r"log\.audit_file .* cannot be written: No such file"):
        await hub.start()


text = st.text(max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
JWT = "eyJhbGciOiJub25lIn0.e30."
SECRET = "0123456789abcdef" * 2 + "5ecre7"


@given(before=text, after=text, member=text, others=st.dictionaries(text, values, max_size=4), kind=st.integers(0, 5))
def test_whatever_surrounds_a_secret_no_line_has_it(
    before: str, after: str, member: str, others: dict[str, Any], kind: int
) -> None:
    said = (
        f"{before} Authorization: Bearer {SECRET}",
        f"{before} /poll?session={SECRET}&{after}",
        f"{before} resume={SECRET} {after}",
        f'{before} {{"token":"{SECRET}"}} {after}',
        f"{before} Cookie: a={SECRET}",
        f"{before} redis://ada:{SECRET}@host/0 {after}",
    )[kind]
    line = json_line({**others, member: said, "nested": [{"resume": SECRET, "deep": {"password_hash": SECRET}}]})
    assert SECRET not in line
    assert "\n" not in line
    json.loads(line)


# --- A whole hub ------------------------------------------------------------------------------------------------------


async def test_a_hub_audits_its_settings_refusals_and_what_operators_change(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    hashed = hash_password(SECRET)
    flags = {
        "server.dev": True,
        "log.audit_file": str(path),
        "server.allowed_origins": ("https://good.example",),
        "broker.url": "memory://",
        "users.ada.password_hash": hashed,
    }
    server = Server(Hub(settings=load(os.devnull, {}, flags).settings), port=0)
    await server.start()
    url = f"ws://127.0.0.1:{server.port}/ws"
    async with websockets.connect(url, proxy=None) as client, httpx.AsyncClient(base_url=server.url) as http:
        await client.send('{"type":"subscribe","id":1,"channel":"$hub/secrets"}')
        assert json.loads(await client.recv())["code"] == 103
        await client.send(f'{{"type":"subscribe","id":2,"channel":"$hub/{JWT}"}}')
        assert json.loads(await client.recv())["code"] == 103
        await http.post("/api/publish", json={"channel": "news", "data": SECRET})
        session = next(iter(server.hub.core.sessions))
        await http.post("/api/unsubscribe", json={"channel": "news", "user": "ada"})
        await http.post(
            "/api/batch",
            json={"commands": [{"type": "revoke", "token": "jti-1"}, {"type": "disconnect", "session": session}]},
        )
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(url, proxy=None, origin="https://evil.example")  # type: ignore[arg-type]
    await server.stop()
    raw = path.read_text()
    found = lines_of(path)
    assert SECRET not in raw
    assert hashed not in raw
    assert JWT not in raw
    events = [line["event"] for line in found]
    assert events == ["start", "refused", "refused", *["command"] * 3, "refused", "stop"]
    assert found[0]["settings"]["server"]["dev"] is True
    assert found[0]["settings"]["users"]["ada"]["password_hash"] == "[redacted]"
    refused = found[1]
    assert (refused["code"], refused["action"], refused["channel"]) == (103, "subscribe", "$hub/secrets")
    assert (refused["rule"], refused["address"], refused["carrier"]) == ("inner", "127.0.0.1", "websocket")
    commands = [line for line in found if line["event"] == "command"]
    assert [(line["command"], line.get("user")) for line in commands] == [
        ("unsubscribe", "ada"),
        ("revoke", None),
        ("disconnect", None),
    ]
    assert commands[1]["token_id"] == "jti-1"
    assert commands[2]["session"] == session
    assert (found[-2]["status"], found[-2]["origin"]) == (403, "https://evil.example")
    assert {line["process"] for line in found} == {os.getpid()}
