"""Conditions of a stream for a message, as headers."""

import hashlib
from typing import Final

from chappe.brokers.nats.channels import Channel
from chappe.brokers.nats.record import META_AGE_S
from chappe.hub.contracts import Append
from chappe.model.position import Position

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_ID: Final = "Nats-Expected-Last-Msg-Id"
TTL: Final = "Nats-TTL"
MESSAGE_ID: Final = "Nats-Msg-Id"
#: No message of ours has this id.
NO_ID: Final = "none"
#: How long a mark stays beside nothing else of its channel.
META_TTL: Final = f"{META_AGE_S:.0f}s"
#: No channel is there: what expects this is refused.
_NEVER: Final = 1 << 62


def headers_of(item: Append, channel: Channel) -> dict[str, str]:
    """Return the headers of a publication that is to be stored."""
    headers = {}
    namespace = item.namespace
    if not namespace.keeps_history:
        headers[TTL] = META_TTL
    elif namespace.history_age_s > 0:
        headers[TTL] = f"{META_AGE_S + namespace.history_age_s:.0f}s"
    if item.key is not None:
        headers[MESSAGE_ID] = id_of(item)
    if item.expect is not None:
        headers[EXPECTED] = str(_expected(item.expect, channel))
    return headers


def _expected(expect: Position, channel: Channel) -> int:
    if expect.epoch not in ("", channel.epoch) or not 0 <= expect.offset < _NEVER:
        return _NEVER
    # The mark of the birth is at a place that is no offset.
    return channel.sequence(expect.offset) if expect.offset != channel.birth else _NEVER


def id_of(item: Append) -> str:
    """Return the name of a key for the stream; no two keys, owners or channels have one name."""
    parts = (part.encode("utf-8", "surrogatepass") for part in (item.channel, item.key_owner, item.key or ""))
    return hashlib.blake2b(b"".join(b"%d:" % len(part) + part for part in parts), digest_size=20).hexdigest()
