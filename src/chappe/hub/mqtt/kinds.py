"""What a command of an MQTT client was made of, in the lower bits of its id; above them is the packet id."""

from typing import Final

QOS_0: Final = 0
QOS_1: Final = 1
QOS_2: Final = 2
SUBSCRIBING: Final = 3
UNSUBSCRIBING: Final = 4
RESUMING: Final = 5
CONNECTING: Final = 6
LEAVING: Final = 7

_KIND_BITS: Final = 3
_INDEX_BITS: Final = 19


def command_id(kind: int, packet_id: int, index: int = 0) -> int:
    """Return the id of a command; `index` tells the filters of one packet apart."""
    return kind | packet_id << _KIND_BITS | index << _INDEX_BITS


def parts_of(command: int) -> tuple[int, int, int]:
    """Return kind, packet id and index of a command's id."""
    return command & LEAVING, command >> _KIND_BITS & 0xFFFF, command >> _INDEX_BITS
