"""`chappe connect`: talk to any WebSocket server, or chat on a hub."""

import asyncio
import ssl
import sys
from typing import Any
from urllib.parse import urlsplit

import click

from chappe.cli.connect.talk import ChannelTalk, RawTalk, Talk
from chappe.cli.connect.views import JsonView, PlainView
from chappe.cli.grammar import FAILED, USAGE, Command, Failure, examples
from chappe.cli.texts import T

DEFAULT_CHANNEL = "chat/lobby"
TERMINAL_ATTEMPTS = 10


@click.command(
    "connect",
    cls=Command,
    help=T["connect"],
    epilog=examples(
        "chappe connect ws://127.0.0.1:8080/echo",
        "chappe connect ws://127.0.0.1:8080 --name Ada",
        "chappe connect wss://example.org/ws --header 'Cookie: a=b' --protocol chat",
        "echo hello | chappe connect ws://127.0.0.1:8080/echo --json",
    ),
)
@click.argument("url")
@click.option("--name", help=T["connect_name"])
@click.option("--channel", help=T["connect_channel"])
@click.option("--token", envvar="CHAPPE_TOKEN", help=T["connect_token"])
@click.option("--protocol", "protocols", multiple=True, metavar="NAME", help=T["connect_protocol"])
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help=T["connect_header"])
@click.option("--origin", help=T["connect_origin"])
@click.option("--ca", metavar="FILE", help=T["connect_ca"])
@click.option("--cert", metavar="FILE", help=T["connect_cert"])
@click.option("--key", metavar="FILE", help=T["connect_key"])
@click.option("--insecure", is_flag=True, help=T["connect_insecure"])
@click.option("--attempts", type=int, metavar="N", help=T["connect_attempts"])
@click.option("--pretty", is_flag=True, help=T["connect_pretty"])
@click.option("--wait", "wait_s", type=float, default=1.0, show_default=True, help=T["connect_wait"])
@click.option("--json", "as_json", is_flag=True, help=T["connect_json"])
def command(url: str, as_json: bool, pretty: bool, wait_s: float, attempts: int | None, **wanted: Any) -> int:
    """Converse and return the exit code: 0 after a clean close, 1 after any other end."""
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    if attempts is None:
        attempts = TERMINAL_ATTEMPTS if interactive else 0
    if wanted["insecure"]:
        click.secho(T["connect_insecure_warning"], fg="red", bold=True, err=True)
    talk, chats = _talk(wanted)
    settings = _settings(url, chats, wanted)
    if interactive:
        return asyncio.run(_in_terminal(settings, talk, attempts, pretty))
    return asyncio.run(_in_pipe(settings, talk, attempts, JsonView() if as_json else PlainView(pretty=pretty), wait_s))


async def _in_terminal(settings: Any, talk: Talk, attempts: int, pretty: bool) -> int:
    from chappe.cli.connect.dialogue import Dialogue
    from chappe.cli.connect.terminal import Prompt, TerminalView

    dialogue = Dialogue(settings, talk, TerminalView(pretty=pretty), attempts=attempts)
    prompt = Prompt(dialogue.status)
    if not await dialogue.open():
        return FAILED
    dialogue.tell(T["connect_welcome"])
    try:
        await prompt.read_lines(dialogue.typed)
    finally:
        await dialogue.close()
    return FAILED if dialogue.failure else 0


async def _in_pipe(settings: Any, talk: Talk, attempts: int, view: PlainView | JsonView, wait_s: float) -> int:
    from chappe.cli.connect.dialogue import Dialogue
    from chappe.cli.connect.pipe import converse

    return await converse(Dialogue(settings, talk, view, attempts=attempts), wait_s=wait_s)


def _talk(wanted: dict[str, Any]) -> tuple[Talk, bool]:
    if wanted["name"] is None and wanted["channel"] is None:
        return RawTalk(), False
    return ChannelTalk(wanted["channel"] or DEFAULT_CHANNEL, wanted["name"] or "", wanted["token"] or ""), True


def _settings(url: str, chats: bool, wanted: dict[str, Any]) -> Any:
    from chappe.client.options import Settings, websocket_url

    address = websocket_url(url if "://" in url else f"ws://{url}")
    protocols = tuple(wanted["protocols"])
    if chats:
        parts = urlsplit(address)
        address = parts._replace(path="/ws").geturl() if parts.path == "/" else address
        protocols = protocols or ("chappe.v1",)
    headers = dict(_header(header) for header in wanted["headers"])
    if wanted["token"] and not chats:
        headers["Authorization"] = f"Bearer {wanted['token']}"
    return Settings(
        url=address,
        subprotocols=protocols,
        headers=headers,
        origin=wanted["origin"],
        ssl=_tls(wanted) if address.startswith("wss:") else None,
    )


def _header(header: str) -> tuple[str, str]:
    name, separator, value = header.partition(":")
    if not separator or not name.strip():
        raise Failure(T["connect_bad_header"].format(header=header), USAGE)
    return name.strip(), value.strip()


def _tls(wanted: dict[str, Any]) -> ssl.SSLContext:
    """Return TLS settings: certificates and host names are checked unless `--insecure`; TLS 1.2 at least."""
    if wanted["key"] and not wanted["cert"]:
        raise Failure(T["connect_key_without_cert"], USAGE)
    path = wanted["ca"]
    try:
        context = ssl.create_default_context(cafile=path)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if wanted["cert"]:
            path = wanted["cert"]
            context.load_cert_chain(wanted["cert"], wanted["key"])
    except (OSError, ssl.SSLError) as error:
        raise Failure(T["connect_bad_tls"].format(path=path, reason=error.strerror or error)) from None
    if wanted["insecure"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
