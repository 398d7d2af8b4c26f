"""`chappe sub` prints publications, one line each, from where it is asked to begin."""

import asyncio
import datetime
import json
from typing import Any

import pytest

from chappe.cli.grammar import Failure
from chappe.cli.subscribe import as_json, as_line, parse_since
from chappe.client.messages import Publication
from chappe.model.position import Position
from chappe.testing.fault_proxy import FaultProxy
from chappe.testing.running import running_hub

from .conftest import Run


@pytest.mark.parametrize(
    ("text", "since"), [(None, None), ("latest", "latest"), ("10", 10), ("x1:41", Position("x1", 41))]
)
def test_since_is_latest_a_count_or_a_position(text: str | None, since: Any) -> None:
    assert parse_since(text, 1) == since


@pytest.mark.parametrize(("text", "channels"), [("newest", 1), ("x1:", 1), ("-1", 1), ("x1:41", 2)])
def test_other_beginnings_are_refused(text: str, channels: int) -> None:
    with pytest.raises(Failure) as caught:
        parse_since(text, channels)
    assert caught.value.code == 2


def test_a_line_is_the_data_and_the_channel_if_there_are_several() -> None:
    assert as_line(Publication("news", {"a": "é"}), named=False) == '{"a": "é"}'
    assert as_line(Publication("news", "text"), named=True) == "news text"
    assert as_line(Publication("news", b"\xff"), named=False) == '{"$base64": "/w=="}'


def test_json_has_the_names_of_the_protocol() -> None:
    time = datetime.datetime(2026, 11, 22, 12, 0, 0, 123000, tzinfo=datetime.UTC)
    publication = Publication("news", 1, offset=3, epoch="x1", time=time, id="k", headers={"a": "b"})
    assert json.loads(as_json(publication)) == {
        "channel": "news",
        "data": 1,
        "offset": 3,
        "epoch": "x1",
        "time": "2026-11-22T12:00:00.123Z",
        "id": "k",
        "headers": {"a": "b"},
    }


def test_history_is_printed_from_a_count_and_from_a_position(run: Run, hub_url: str) -> None:
    epochs = [
        json.loads(run("pub", "sub/one", str(n), "--json", "--name", "Ada", "--url", hub_url).stdout)["epoch"]
        for n in (1, 2, 3)
    ]
    assert run("sub", "sub/one", "--since", "2", "--count", "2", "--url", hub_url).stdout == "2\n3\n"
    assert run("sub", "sub/one", "--since", f"{epochs[0]}:1", "--count", "2", "--url", hub_url).stdout == "2\n3\n"
    line = json.loads(run("sub", "sub/one", "--since", "latest", "--count", "1", "--json", "--url", hub_url).stdout)
    assert (line["offset"], line["from"]["name"]) == (3, "Ada")


@pytest.mark.slow
async def test_behind_a_proxy_that_refuses_upgrades_it_works_and_says_by_what(run: Run) -> None:
    async with running_hub() as hub, FaultProxy("127.0.0.1", hub.port) as proxy:
        proxy.refuse_upgrade = 403
        url = ("--url", f"http://127.0.0.1:{proxy.port}")
        await asyncio.to_thread(run, "pub", "news", "through", *url)
        followed = await asyncio.to_thread(run, "sub", "news", "--since", "latest", "--count", "1", *url)
        assert (followed.stdout, followed.stderr) == ("through\n", "carried by sse\n")
        proxy.refuse_upgrade = None


def test_a_position_that_is_gone_is_told(run: Run, hub_url: str) -> None:
    run("pub", "sub/gone", "x", "--url", hub_url)
    run("pub", "sub/other", "y", "--url", hub_url)
    result = run("sub", "sub/other", "--since", "1", "--count", "1", "--url", hub_url)
    assert (result.stdout, result.stderr) == ("y\n", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "CHANNEL"),
        (("news", "--since", "x"), "expected latest, a count, or EPOCH:OFFSET"),
        (("chat/#", "--since", "latest"), "a pattern begins with what comes next"),
        (("news", "--count", "0"), "at least 1"),
    ],
)
def test_wrong_use_is_told(run: Run, arguments: tuple[str, ...], told: str) -> None:
    result = run("sub", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_refused_subscription_fails(run: Run, hub_url: str) -> None:
    result = run("sub", "a/#/b", "--url", hub_url)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
