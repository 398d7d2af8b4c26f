"""Mailboxes of a hub in a box: real hub and broker, a clock that the test moves on."""

from __future__ import annotations

import json
from typing import Any

from chappe.hub.permissions import APPLICATION
from chappe.hub.session import Peer
from chappe.model.publication import Kind
from chappe.protocols import base
from chappe.transports.admission import Admission
from chappe.transports.http_sessions import HttpSessions
from chappe.transports.poll_link import Mailbox, PollOptions
from tests.hub.harness import World


class Boxes:
    """A hub with the registry of its mailboxes."""

    def __init__(self, world: World | None = None, **options: Any) -> None:
        self.world = world or World()
        self.admission = Admission()
        self.sessions = HttpSessions(self.world.hub, self.admission, PollOptions(**options))

    def begin(self, **options: Any) -> Mailbox:
        """Begin a session."""
        return self.sessions.begin(Peer(address="192.0.2.1", carrier="poll"), **options)

    def subscribed(self, *channels: str) -> Mailbox:
        """Begin a session that is subscribed to channels."""
        mailbox = self.begin()
        for number, channel in enumerate(channels):
            told(mailbox, {"type": "subscribe", "id": number, "channel": channel})
        return mailbox


def told(mailbox: Mailbox, *commands: dict[str, Any]) -> list[Any]:
    """Post commands and return their answers, which are there at once."""
    post = mailbox.post(json.dumps(commands).encode(), None, False)
    assert post.is_done
    mailbox.posting.release(post)
    return list(json.loads(post.body())["messages"])


def publish(world: World, channel: str, value: Any) -> None:
    """Publish for the application."""
    command = base.Publish(0, channel, json.dumps(value).encode(), Kind.JSON)
    world.hub.publish(APPLICATION, command, lambda *_: None)
