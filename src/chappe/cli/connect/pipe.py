"""Converse without a terminal: lines of standard input are sent, then what arrives is shown for a while."""

import asyncio

from chappe.cli.connect.dialogue import Dialogue
from chappe.cli.connect.stdin import stdin_lines
from chappe.cli.grammar import FAILED
from chappe.cli.texts import T


async def converse(dialogue: Dialogue, *, wait_s: float) -> int:
    """Run to the end and return the exit code.

    Args:
        dialogue: not opened yet.
        wait_s: seconds of silence after the last line before leaving; infinite stays until the server closes.
    """
    if not await dialogue.open():
        return FAILED
    sender = asyncio.create_task(_send_all(dialogue, wait_s))
    over = asyncio.create_task(dialogue.over.wait())
    try:
        await asyncio.wait({sender, over}, return_when=asyncio.FIRST_COMPLETED)
        if sender.done():
            await sender  # what went wrong while sending goes to the caller
    finally:
        for task in (sender, over):
            task.cancel()
        await asyncio.wait({sender, over})
        await dialogue.close()
    return FAILED if dialogue.failure else 0


async def _send_all(dialogue: Dialogue, wait_s: float) -> None:
    async for line in stdin_lines():
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            dialogue.complain(T["said_not_utf8"])
            continue
        if text.strip():
            await dialogue.say(text, patient=True)
    await dialogue.quiet(wait_s)
