"""`chappe pub`: publish from a shell."""

import asyncio
import json
import sys
from typing import Any

import click

from chappe.cli.connect.stdin import stdin_lines
from chappe.cli.grammar import Command, examples, json_option
from chappe.cli.hub_url import hub_client, hub_options
from chappe.cli.mqtt import is_mqtt, mqtt_options, refuse_mqtt_options
from chappe.cli.mqtt import publish as publish_mqtt
from chappe.cli.texts import T


@click.command(
    "pub",
    cls=Command,
    help=T["pub"],
    epilog=examples(
        'chappe pub news \'{"title": "hello"}\'',
        "chappe pub chat/lobby 'hello' --name Ada",
        "tail -f app.log | chappe pub logs - --lines",
        "chappe pub mqtt://broker.example/maison/cuisine/lumiere ON --qos 1",
    ),
)
@click.argument("channel")
@click.argument("data")
@hub_options
@click.option("--name", default="", help=T["pub_name"])
@click.option("--text", is_flag=True, help=T["pub_text"])
@click.option("--lines", is_flag=True, help=T["pub_lines"])
@click.option("--key", help=T["pub_key"])
@click.option("--retain", is_flag=True, help=T["pub_retain"])
@mqtt_options
@json_option
def command(channel: str, data: str, lines: bool, **wanted: Any) -> None:
    """Return when the hub, or the outside broker, has acknowledged everything."""
    if is_mqtt(channel):
        publish_mqtt(channel, data, {**wanted, "lines": lines})
        return
    refuse_mqtt_options(wanted)
    asyncio.run(_publish_lines(channel, wanted) if lines and data == "-" else _publish_one(channel, data, wanted))


async def _publish_one(channel: str, data: str, wanted: dict[str, Any]) -> None:
    content = sys.stdin.buffer.read() if data == "-" else data.encode("utf-8", "surrogateescape")
    async with hub_client(wanted["url"], wanted["token"], wanted["name"]) as client:
        await _publish(client, channel, value_of(content, text=wanted["text"]), wanted)


async def _publish_lines(channel: str, wanted: dict[str, Any]) -> None:
    async with hub_client(wanted["url"], wanted["token"], wanted["name"]) as client:
        async for line in stdin_lines():
            if line.strip():
                await _publish(client, channel, value_of(line, text=wanted["text"]), wanted)


async def _publish(client: Any, channel: str, value: Any, wanted: dict[str, Any]) -> None:
    result = await client.publish(channel, value, key=wanted["key"], retain=wanted["retain"])
    if wanted["as_json"]:
        click.echo(json.dumps({"channel": channel, "offset": result.offset, "epoch": result.epoch}))
    elif sys.stderr.isatty():
        click.echo(T["pub_done"].format(channel=channel, offset=result.offset), err=True)


def value_of(content: bytes, *, text: bool) -> Any:
    """Return what to publish: JSON if it is JSON and may be, else text, else bytes."""
    try:
        decoded = content.decode("utf-8")
    except UnicodeDecodeError:
        return content
    if text:
        return decoded
    try:
        return json.loads(decoded)
    except ValueError:
        return decoded
