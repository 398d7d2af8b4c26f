"""Which node of a cluster sends on a message of a shared subscription: the same one whoever asks.

Each node asks by itself, of the message and of the nodes that have members. When a node comes or goes, only the
messages of that one have another answer.
"""

import hashlib
from collections.abc import Iterable
from typing import Final, TypeAlias

from chappe.model.publication import Publication

Place: TypeAlias = tuple[str, str, int]
"""Channel, epoch and offset of a message."""

_DIGEST_BYTES: Final = 8


def place_in_log(publication: Publication) -> Place:
    """Return where a message is; one that is kept nowhere has the offset 0."""
    return publication.channel, publication.epoch, publication.offset


def identity_of(publication: Publication) -> str:
    """Return what tells a message apart on every node: its place, or what it says if it has none."""
    if publication.offset:
        return identity_at(place_in_log(publication))
    sender = publication.sender.session if publication.sender is not None else ""
    said = f"{publication.channel} {publication.time_ms} {sender} {publication.id} ".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said + publication.payload, digest_size=_DIGEST_BYTES).hexdigest()


def identity_at(place: Place) -> str:
    """Return what tells the message in a place apart."""
    channel, epoch, offset = place
    return f"{epoch} {offset} {channel}"


def owner_of(identity: str, nodes: Iterable[str]) -> str:
    """Return whose message it is, of at least one node, in whatever order they are given (rendezvous hashing)."""
    return max(nodes, key=lambda node: (_weight(node, identity), node))


def _weight(node: str, identity: str) -> bytes:
    return hashlib.blake2b(f"{node} {identity}".encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
