"""Which network this machine is on, if any.

A client that waits for its next attempt dials at once when a network comes back, and what got through one network says
nothing about the next.
"""

from typing import Final

#: Addresses kept for documentation (RFC 5737, RFC 3849): nobody is there, and nothing is sent to them.
_NOWHERE: Final = (("AF_INET", "192.0.2.1"), ("AF_INET6", "2001:db8::1"))


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


def has_network() -> bool:
    """Tell whether there is a route to anywhere; where that cannot be known, there is."""
    return local_addresses() != ()
