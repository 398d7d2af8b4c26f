"""Whether this machine has a network: a client that waits for its next attempt dials at once when one comes back."""

from typing import Final

#: Addresses kept for documentation (RFC 5737, RFC 3849): nobody is there, and nothing is sent to them.
_NOWHERE: Final = (("AF_INET", "192.0.2.1"), ("AF_INET6", "2001:db8::1"))


def has_network() -> bool:
    """Tell whether there is a route to anywhere; where that cannot be known, there is.

    Connecting a datagram socket asks the routing table and sends nothing.
    """
    try:
        import socket

        kinds = [(getattr(socket, family), address) for family, address in _NOWHERE]
    except (ImportError, AttributeError):  # Pyodide has no network of its own
        return True
    for family, address in kinds:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
        except OSError:
            continue
        return True
    return False
