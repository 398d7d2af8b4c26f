"""`chappe pub` and `chappe sub` with `mqtt://`: an outside broker, without a hub."""

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from chappe.cli.connect.stdin import stdin_lines
from chappe.cli.grammar import USAGE, Failure
from chappe.cli.texts import T
from chappe.model.errors import ConfigurationError
from chappe.telemetry import escape

if TYPE_CHECKING:
    from chappe.bridges.mqtt.address import Address
    from chappe.bridges.mqtt.confirming import Arrival
    from chappe.bridges.mqtt.line import Line
    from chappe.bridges.mqtt.refusal import RefusalError

SCHEMES: Final = ("mqtt://", "mqtts://")
#: Attempts to come back after a cut, as for a hub.
_MAX_ATTEMPTS: Final = 10
_PAUSE_S: Final = 1.0
#: How long a confirmation may take.
_CONFIRM_S: Final = 30.0
_OPTIONS: Final = ("user", "password_file", "ca", "cert", "cert_key", "insecure", "qos", "mqtt_version")
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def is_mqtt(channel: str) -> bool:
    """Tell whether an argument is the URL of a topic."""
    return channel.startswith(SCHEMES)


def mqtt_options(command: _Decorated) -> _Decorated:
    """Add the options that only `mqtt://` has."""
    for option in reversed(
        (
            click.option("--user", metavar="NAME", help=T["mqtt_user"]),
            click.option("--password-file", metavar="FILE", help=T["mqtt_password_file"]),
            click.option("--qos", type=click.IntRange(0, 2), help=T["mqtt_qos"]),
            click.option("--mqtt-version", type=click.Choice(["5", "3.1.1"]), help=T["mqtt_version"]),
            click.option("--ca", metavar="FILE", help=T["connect_ca"]),
            click.option("--cert", metavar="FILE", help=T["connect_cert"]),
            click.option("--cert-key", metavar="FILE", help=T["mqtt_cert_key"]),
            click.option("--insecure", is_flag=True, help=T["connect_insecure"]),
        )
    ):
        command = option(command)
    return command


def refuse_mqtt_options(wanted: dict[str, Any]) -> None:
    """Refuse options of `mqtt://` where a hub is talked to: they would change nothing."""
    given = [f"--{name.replace('_', '-')}" for name in _OPTIONS if wanted.get(name) not in (None, False)]
    if given:
        raise Failure(T["mqtt_only"].format(options=", ".join(given)), USAGE)


def refuse_hub_options(wanted: dict[str, Any], *names: str) -> None:
    """Refuse options of a hub where an outside broker is talked to."""
    given = [f"--{name}" for name in names if wanted.get(name) not in (None, False, "")]
    if given:
        raise Failure(T["mqtt_not"].format(options=", ".join(given)), USAGE)


def publish(url: str, data: str, wanted: dict[str, Any]) -> None:
    """Publish to a topic; return when the broker has confirmed what has QoS 1 or 2."""
    refuse_hub_options(wanted, "key", "name", "text")
    address, topic = _place(url, wanted)
    if not topic or "#" in topic or "+" in topic:
        raise Failure(T["mqtt_no_topic"].format(url="mqtt://localhost/maison/salon/temperature"), USAGE)
    asyncio.run(_publish(address, topic, data, wanted))


def subscribe(urls: tuple[str, ...], wanted: dict[str, Any]) -> None:
    """Print messages of topics of one broker, as they come."""
    refuse_hub_options(wanted, "since")
    places = [_place(url, wanted) for url in urls]
    address = places[0][0]
    if any(place[0] != address for place in places):
        raise Failure(T["mqtt_one_broker"], USAGE)
    if not all(topic for _, topic in places):
        raise Failure(T["mqtt_no_topic"].format(url="'mqtt://localhost/maison/#'"), USAGE)
    asyncio.run(_follow(address, [topic for _, topic in places], wanted))


def _place(url: str, wanted: dict[str, Any]) -> "tuple[Address, str]":
    try:
        from chappe.bridges.mqtt.address import parse, read_password
    except ModuleNotFoundError as error:
        raise Failure(T["mqtt_missing"].format(name=error.name)) from None
    try:
        address, topic = parse(url)
        file = wanted["password_file"]
        password = read_password(file) if file else os.environ.get("CHAPPE_MQTT_PASSWORD", address.password)
        address = msgspec.structs.replace(
            address,
            username=wanted["user"] or address.username,
            password=password,
            version=wanted["mqtt_version"] or "5",
            ca_file=wanted["ca"] or "",
            cert_file=wanted["cert"] or "",
            key_file=wanted["cert_key"] or "",
            insecure=wanted["insecure"],
        )
        address.tls_context()
    except ConfigurationError as error:
        raise Failure(error.reason, USAGE) from None
    if not address.tls:
        refuse_hub_options(wanted, "ca", "cert", "insecure")
    return address, topic


@contextlib.asynccontextmanager
async def _opened(
    address: "Address", heard: "Callable[[Arrival], None]", confirmed: Callable[[int, bool, str], None]
) -> "AsyncIterator[Line]":
    """Connect until the block ends; a refusal ends the command with one line."""
    try:
        from chappe.bridges.mqtt.line import Line
        from chappe.bridges.mqtt.refusal import RefusalError
    except ModuleNotFoundError as error:
        raise Failure(T["mqtt_missing"].format(name=error.name)) from None
    if address.insecure:
        click.secho(T["connect_insecure_warning"], fg="red", bold=True, err=True)
    elif address.is_plain:
        click.secho(T["mqtt_plain_warning"], fg="red", bold=True, err=True)
    line = Line(address, f"chappe-{secrets.token_hex(6)}", keeps=False, heard=heard, confirmed=confirmed)
    try:
        await line.open()
        yield line
    except RefusalError as refusal:
        raise Failure(_worded(address, refusal)) from None
    finally:
        await line.close()


def _worded(address: "Address", refusal: "RefusalError") -> str:
    texts = {
        "login": T["mqtt_login"],
        "version": T["mqtt_other_version"],
        "certificate": T["mqtt_certificate"],
        "tls": T["mqtt_tls"],
        "unreachable": T["mqtt_unreachable"],
        "refused": T["mqtt_refused"],
        "closed": T["mqtt_closed"],
    }
    return texts[refusal.kind].format(peer=address.peer, reason=refusal.text or refusal.kind)


async def _publish(address: "Address", topic: str, data: str, wanted: dict[str, Any]) -> None:
    confirmations: dict[int, tuple[bool, str]] = {}
    told = asyncio.Event()

    def confirmed(packet_id: int, taken: bool, reason: str) -> None:
        confirmations[packet_id] = (taken, reason)
        told.set()

    async with _opened(address, lambda arrival: None, confirmed) as line:
        async for content in _contents(data, lines=wanted["lines"]):
            confirmations.clear()
            packet_id = line.send(topic, content, wanted["qos"] or 0, wanted["retain"], None)
            await _confirmation(line, packet_id, confirmations, told)
            taken, reason = confirmations[packet_id]
            if not taken:
                raise Failure(T["mqtt_refused"].format(peer=address.peer, reason=reason))
            if wanted["as_json"]:
                click.echo(json.dumps({"topic": topic, "qos": wanted["qos"] or 0, "retain": wanted["retain"]}))


async def _confirmation(line: "Line", packet_id: int, confirmations: dict[int, Any], told: asyncio.Event) -> None:
    """Wait until a message is written (QoS 0) or confirmed; a cut raises, since nothing would tell any more."""
    lost = asyncio.ensure_future(line.lost())
    try:
        async with asyncio.timeout(_CONFIRM_S):
            while packet_id not in confirmations:
                told.clear()
                waiting = asyncio.ensure_future(told.wait())
                await asyncio.wait((waiting, lost), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if lost.done():
                    lost.result()
    except TimeoutError:
        raise Failure(T["mqtt_unconfirmed"].format(seconds=_CONFIRM_S)) from None
    finally:
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)


async def _contents(data: str, *, lines: bool) -> AsyncIterator[bytes]:
    if data != "-":
        yield data.encode("utf-8", "surrogateescape")
    elif lines:
        async for line in stdin_lines():
            if line.strip():
                yield line
    else:
        yield sys.stdin.buffer.read()


async def _follow(address: "Address", topics: list[str], wanted: dict[str, Any]) -> None:
    from chappe.bridges.mqtt.refusal import RefusalError
    from chappe.bridges.mqtt.topics import Mapping

    left, enough = wanted["count"], asyncio.Event()
    named = len(topics) > 1 or any(sign in topics[0] for sign in "+#")
    mappings = [Mapping(topic, "in", wanted["qos"] or 0) for topic in topics]
    opened: list[Line] = []

    def heard(arrival: "Arrival") -> None:
        nonlocal left
        if enough.is_set():
            return
        click.echo(_json(arrival) if wanted["as_json"] else _line(arrival, named=named))
        opened[0].confirm(arrival)
        if left is not None:
            left -= 1
            if left == 0:
                enough.set()

    async with _opened(address, heard, lambda packet_id, taken, reason: None) as line:
        opened.append(line)
        attempt = 0
        while not enough.is_set():
            try:
                if attempt:
                    await line.open()
                await _listen(line, mappings, enough, address)
            except RefusalError:
                attempt += 1
                if attempt > _MAX_ATTEMPTS:
                    raise
                click.echo(T["sub_reconnecting"].format(n=attempt), err=True)
                await line.close()
                await asyncio.sleep(_PAUSE_S)


async def _listen(line: "Line", mappings: Any, enough: asyncio.Event, address: "Address") -> None:
    """Follow topics until there is enough of them, or a cut raises."""
    refused = await line.follow(mappings, no_local=False)
    if refused:
        raise Failure(T["mqtt_refused"].format(peer=address.peer, reason=", ".join(refused)))
    if sys.stderr.isatty():
        names = ", ".join(mapping.remote for mapping in mappings)
        click.echo(T["sub_following"].format(channels=names, url=address.peer), err=True)
    lost, ended = asyncio.ensure_future(line.lost()), asyncio.ensure_future(enough.wait())
    try:
        await asyncio.wait((lost, ended), return_when=asyncio.FIRST_COMPLETED)
        if lost.done():
            lost.result()
    finally:
        lost.cancel()
        ended.cancel()
        await asyncio.gather(lost, ended, return_exceptions=True)


def _value(payload: bytes) -> Any:
    from chappe.cli.publish import value_of

    return value_of(payload, text=False)


def _json(arrival: "Arrival") -> str:
    from chappe.cli.subscribe import json_value

    fields: dict[str, Any] = {"topic": arrival.topic, "data": json_value(_value(arrival.payload))}
    fields |= {"qos": arrival.qos, "retain": arrival.retain}
    if arrival.headers:
        fields["headers"] = arrival.headers
    return json.dumps(fields, ensure_ascii=False)


def _line(arrival: "Arrival", *, named: bool) -> str:
    """Return the payload as it came, and hexadecimal if it is no text."""
    try:
        text = arrival.payload.decode()
    except UnicodeDecodeError:
        text = arrival.payload.hex()
    line = f"{arrival.topic} {text}" if named else text
    return escape(line) if sys.stdout.isatty() else line
