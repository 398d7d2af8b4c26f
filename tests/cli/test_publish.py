"""`chappe pub` returns when the hub has acknowledged what it was given."""

import json
from typing import Any

import pytest

from chappe.cli.publish import value_of

from .conftest import Run


@pytest.mark.parametrize(
    ("content", "text", "value"),
    [
        (b'{"a": 1}', False, {"a": 1}),
        (b'{"a": 1}', True, '{"a": 1}'),
        (b"hello", False, "hello"),
        (b"12", False, 12),
        (b"\xff\x00", False, b"\xff\x00"),
        ("é".encode(), False, "é"),
    ],
)
def test_json_is_json_text_is_text_and_the_rest_is_bytes(content: bytes, text: bool, value: Any) -> None:
    assert value_of(content, text=text) == value


def history(run: Run, hub_url: str, channel: str) -> list[Any]:
    lines = run("sub", channel, "--since", "10", "--count", "2", "--json", "--url", hub_url).stdout.splitlines()
    return [json.loads(line)["data"] for line in lines]


def test_what_is_published_is_in_the_channel(run: Run, hub_url: str) -> None:
    result = run("pub", "pub/one", '{"title": "é"}', "--json", "--url", hub_url)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["offset"] == 1
    assert run("pub", "pub/one", "-", "--text", "--url", hub_url, stdin="12").stdout == ""
    assert history(run, hub_url, "pub/one") == [{"title": "é"}, "12"]


def test_each_line_of_standard_input_is_published(run: Run, hub_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter([b"first", b"  ", b'{"n": 2}'])
    monkeypatch.setattr("chappe.cli.publish.stdin_lines", lambda: each(lines))
    result = run("pub", "pub/lines", "-", "--lines", "--json", "--url", hub_url)
    assert [json.loads(line)["offset"] for line in result.stdout.splitlines()] == [1, 2]
    assert history(run, hub_url, "pub/lines") == ["first", {"n": 2}]


async def each(lines: Any) -> Any:
    for line in lines:
        yield line


def test_a_key_and_the_retained_slot_go_with_it(run: Run, hub_url: str) -> None:
    run("pub", "pub/key", "x", "--key", "k1", "--retain", "--url", hub_url)
    line = run("sub", "pub/key", "--since", "latest", "--count", "1", "--json", "--url", hub_url).stdout
    assert json.loads(line)["id"] == "k1"


def test_a_refusal_is_one_line(run: Run, hub_url: str) -> None:
    result = run("pub", "bad/+", "x", "--url", hub_url)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1


def test_no_hub_is_one_line(run: Run, free_port: int) -> None:
    result = run("pub", "news", "x", "--url", f"http://127.0.0.1:{free_port}")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: cannot connect to ws://127.0.0.1:{free_port}/ws")
    assert "nothing listens there; check host and port" in result.stderr
