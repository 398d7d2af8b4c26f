"""Sockets to listen on, with errors that say what to do."""

import errno
import socket
from typing import Final

from chappe.model.errors import ConfigurationError

#: Connections that may wait to be accepted: a thousand clients coming back at once must not be reset.
BACKLOG: Final = 4_096

_ADVICE: Final = {
    errno.EADDRINUSE: "port {port} is in use; stop what listens there, or choose another with {option}",
    errno.EACCES: "port {port} needs more rights than this process has; choose one above 1023 with {option}",
    errno.EADDRNOTAVAIL: "{host} is no address of this machine; choose another with --host",
}


def listen(host: str, port: int, *, shared: bool = False, option: str = "--port") -> socket.socket:
    """Return a listening TCP socket.

    Args:
        port: 0 takes a free one.
        shared: other processes that also say so may listen there too, and the kernel spreads connections.
        option: what chose the port, which an error names.
    Raises:
        ConfigurationError: one line that says what to do.
    """
    listener = _bind(host, port, shared, option)
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port, option) from None
    listener.setblocking(False)
    return listener


def reserve(host: str, port: int, option: str = "--port") -> socket.socket:
    """Return a socket that holds an address for processes that share it, and listens to nobody.

    Args:
        option: what chose the port, which an error names.
    Raises:
        ConfigurationError: one line that says what to do.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigurationError("this system cannot share a port between processes; use one worker")
    if port:
        # Two groups of workers would share it without a word.
        _bind(host, port, shared=False, option=option).close()
    return _bind(host, port, shared=True, option=option)


def _bind(host: str, port: int, shared: bool, option: str = "--port") -> socket.socket:
    if not 0 <= port <= 65_535:
        raise ConfigurationError(f"port {port} is out of range, expected 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise ConfigurationError(f"host {host!r} is not known; expected an address such as 127.0.0.1") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port, option) from None
    return listener


def _explained(error: OSError, host: str, port: int, option: str) -> ConfigurationError:
    advice = _ADVICE.get(error.errno or 0, "cannot listen on {host}:{port}: {problem}")
    return ConfigurationError(advice.format(host=host, port=port, option=option, problem=error.strerror))
