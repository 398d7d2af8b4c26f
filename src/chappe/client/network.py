"""Which network this machine is on, if any.

A client that waits for its next attempt dials at once when a network comes back, and what got through one network says
nothing about the next.
"""

from pathlib import Path
from typing import Final

#: Addresses kept for documentation (RFC 5737, RFC 3849): nobody is there, and nothing is sent to them.
_NOWHERE: Final = (("AF_INET", "192.0.2.1"), ("AF_INET6", "2001:db8::1"))
#: Where Linux tells its routes, and who its neighbours are.
_ROUTES: Final = Path("/proc/net/route")
_NEIGHBOURS: Final = Path("/proc/net/arp")
_NOT_KNOWN: Final = "00:00:00:00:00:00"


def local_addresses() -> tuple[str, ...] | None:
    """Return our addresses on the ways out of this machine, or None: that cannot be known.

    Connecting a datagram socket asks the routing table and sends nothing.
    """
    try:
        import socket

        kinds = [(getattr(socket, family), address) for family, address in _NOWHERE]
    except (ImportError, AttributeError):  # Pyodide has no network of its own
        return None
    found: list[str] = []
    for family, address in kinds:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return tuple(found)


def gateways() -> tuple[str, ...]:
    """Return what tells our gateways from those of other networks that give the same addresses; empty: not known.

    Of a gateway that is known as a neighbour this is its hardware address, of another one the IPv4 address.
    """
    try:
        return gateways_of(_ROUTES.read_text("ascii"), _NEIGHBOURS.read_text("ascii"))
    except (OSError, ValueError):
        return ()


def gateways_of(routes: str, neighbours: str) -> tuple[str, ...]:
    """Read the gateways out of Linux's tables; each line but the first is a route, or a neighbour."""
    hardware = {line[0]: line[3] for line in _rows(neighbours, 4) if line[3] != _NOT_KNOWN}
    found: set[str] = set()
    for _, destination, gateway, *_ in _rows(routes, 3):
        if destination == "00000000" != gateway:
            # The bytes of an address are written as the number that they are on a machine that begins with the least.
            address = ".".join(map(str, reversed(bytes.fromhex(gateway))))
            found.add(hardware.get(address, address))
    return tuple(sorted(found))


def _rows(table: str, columns: int) -> list[list[str]]:
    return [row for line in table.splitlines()[1:] if len(row := line.split()) >= columns]


def has_network() -> bool:
    """Tell whether there is a route to anywhere; where that cannot be known, there is."""
    return local_addresses() != ()
