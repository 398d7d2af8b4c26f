"""`chappe sub`: print publications as they come."""

import asyncio
import base64
import datetime
import json
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from chappe.cli.grammar import USAGE, Command, Failure, examples, json_option
from chappe.cli.hub_url import hub_client, hub_options
from chappe.cli.mqtt import is_mqtt, mqtt_options, refuse_mqtt_options
from chappe.cli.mqtt import subscribe as subscribe_mqtt
from chappe.cli.texts import T
from chappe.model.channels import is_pattern
from chappe.model.position import Position
from chappe.telemetry import escape

if TYPE_CHECKING:
    from chappe.client.client import Client
    from chappe.client.connection import Transport
    from chappe.client.cursor import Since
    from chappe.client.messages import Publication


@click.command(
    "sub",
    cls=Command,
    help=T["sub"],
    epilog=examples(
        "chappe sub news --since 10",
        "chappe sub 'chat/#' --json | jq .data",
        "chappe sub jobs --since latest --count 1",
        "chappe sub 'mqtt://broker.example/maison/salon/#'",
    ),
)
@click.argument("channels", nargs=-1, required=True, metavar="CHANNEL...")
@hub_options
@click.option("--since", help=T["sub_since"])
@click.option("--count", type=click.IntRange(min=1), help=T["sub_count"])
@mqtt_options
@json_option
def command(channels: tuple[str, ...], since: str | None, url: str, token: str | None, **wanted: Any) -> None:
    """Return after `--count` publications; without it, fail when the hub, or the broker, is gone for good."""
    if any(is_mqtt(channel) for channel in channels):
        if not all(is_mqtt(channel) for channel in channels):
            raise Failure(T["mqtt_one_broker"], USAGE)
        subscribe_mqtt(channels, {**wanted, "since": since})
        return
    refuse_mqtt_options(wanted)
    if since is not None and any(is_pattern(channel) for channel in channels):
        raise Failure(T["sub_since_pattern"], USAGE)
    place = parse_since(since, len(channels))
    asyncio.run(_follow(hub_client(url, token), url, channels, place, wanted))


def parse_since(text: str | None, channels: int) -> "Since":
    """Return where `--since` says to begin."""
    if text is None or text == "latest":
        return text  # type: ignore[return-value]
    if re.fullmatch(r"[0-9]{1,9}", text):
        return int(text)
    match = re.fullmatch(r"(.+):([0-9]{1,18})", text)
    if match is None:
        raise Failure(T["sub_since_bad"].format(value=text), USAGE)
    if channels > 1:
        raise Failure(T["sub_since_many"].format(count=channels), USAGE)
    return Position(match[1], int(match[2]))


async def _follow(
    client: "Client", url: str, channels: tuple[str, ...], since: "Since", wanted: dict[str, Any]
) -> None:
    left = wanted["count"]
    named = len(channels) > 1 or is_pattern(channels[0])
    done = asyncio.Event()

    def take(publication: "Publication") -> None:
        nonlocal left
        if done.is_set():
            return
        click.echo(as_json(publication) if wanted["as_json"] else as_line(publication, named=named))
        if left is not None:
            left -= 1
            if left == 0:
                done.set()

    client.on("reconnecting", lambda n, of: click.echo(T["sub_reconnecting"].format(n=n), err=True))
    client.on("resubscribed", _tell_missed)
    client.on("transport_changed", lambda old, new: _tell_transport(new))
    async with client:
        if client.transport != "websocket":
            _tell_transport(client.transport)
        if sys.stderr.isatty():
            click.echo(T["sub_following"].format(channels=", ".join(channels), url=url), err=True)
        readers = [asyncio.create_task(_read(client, channel, since, take)) for channel in channels]
        ending = asyncio.create_task(done.wait())
        try:
            ready, _ = await asyncio.wait([*readers, ending], return_when=asyncio.FIRST_COMPLETED)
            for task in ready:
                task.result()
        finally:
            for task in (*readers, ending):
                task.cancel()
            await asyncio.wait([*readers, ending])


async def _read(client: "Client", channel: str, since: "Since", take: Callable[["Publication"], None]) -> None:
    async with client.subscribe(channel, since=since) as subscription:
        if isinstance(since, Position) and subscription.recovered is False:
            _tell_missed(channel, False)
        async for publication in subscription:
            take(publication)


def _tell_missed(channel: str, recovered: bool) -> None:
    if not recovered:
        click.echo(T["sub_missed"].format(channel=channel), err=True)


def _tell_transport(transport: "Transport | None") -> None:
    click.echo(T["sub_transport"].format(transport=transport), err=True)


def as_json(publication: "Publication") -> str:
    """Return a publication as one line of JSON, with the names of the protocol; bytes as `{"$base64": ...}`."""
    fields: dict[str, Any] = {"channel": publication.channel, "data": json_value(publication.data)}
    if publication.offset is not None:
        fields |= {"offset": publication.offset, "epoch": publication.epoch}
    if publication.time is not None:
        fields["time"] = publication.time.astimezone(datetime.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    if publication.from_ is not None:
        sender = publication.from_
        fields["from"] = {"user": sender.user, "name": sender.name, "session": sender.session}
    if publication.id is not None:
        fields["id"] = publication.id
    if publication.headers:
        fields["headers"] = dict(publication.headers)
    return json.dumps(fields, ensure_ascii=False)


def as_line(publication: "Publication", *, named: bool) -> str:
    """Return a publication's data as one line; with its channel before it if there are several."""
    data = publication.data
    text = data if isinstance(data, str) else json.dumps(json_value(data), ensure_ascii=False)
    line = f"{publication.channel} {text}" if named else text
    return escape(line) if sys.stdout.isatty() else line


def json_value(data: Any) -> Any:
    """Return a value as JSON has it: bytes are `{"$base64": ...}`."""
    return {"$base64": base64.b64encode(data).decode("ascii")} if isinstance(data, bytes) else data
