"""What a server says of itself: which process it is, whether it is the master, what it writes to its disk."""

from typing import Any

import msgspec

from chappe.brokers.redis.connection import Connection, ConnectionLost, ReplyError
from chappe.model.errors import ConfigurationError

_NO_REPLICATION = "0" * 40


class Identity(msgspec.Struct, frozen=True):
    """Tell one life of a server from every other.

    Attributes:
        run_id: of the process.
        client_id: what the server calls our connection.
        keeps_all: nothing it ever confirmed is missing after a restart: each write is on its disk before the answer
            (`appendfsync always`), and it did not take over from another one.
    """

    run_id: str = ""
    client_id: int = 0
    keeps_all: bool = False


async def identify(connection: Connection, before: Identity, *, durable: bool) -> Identity:
    """Ask a server who it is, and end what is left of our connection before this one.

    Args:
        before: what the last connection was told.
        durable: refuse a server that does not write through to its disk.

    Raises:
        ConfigurationError: it must be durable and is not.
        ConnectionLost: it is a replica, or hung up.
        ReplyError: it lets us not ask.
    """
    info = _fields(await connection.call("INFO", "server"))
    replication = _fields(await connection.call("INFO", "replication"))
    if replication.get("role", "master") != "master":
        raise ConnectionLost("the server is a replica, expected a master")
    run_id = info.get("run_id", "")
    writes_through = await _writes_through(connection)
    if durable and not writes_through:
        raise ConfigurationError(
            "broker.url: durable=1, but the server does not write to its disk before it confirms; "
            "set appendonly yes and appendfsync always there"
        )
    if before.run_id == run_id and before.client_id:
        # What is still on its way there would be stored after we said that it was not.
        await _try(connection, "CLIENT", "KILL", "ID", before.client_id)
    client_id = await _try(connection, "CLIENT", "ID")
    took_over = replication.get("master_replid2", _NO_REPLICATION) != _NO_REPLICATION
    return Identity(run_id, client_id if isinstance(client_id, int) else 0, writes_through and not took_over)


async def _writes_through(connection: Connection) -> bool:
    answer = await _try(connection, "CONFIG", "GET", "append*")
    if not isinstance(answer, dict):
        return False
    return answer.get(b"appendonly") == b"yes" and answer.get(b"appendfsync") == b"always"


async def _try(connection: Connection, *command: str | int) -> Any:
    """Ask what the rights of our user may not allow; None then."""
    try:
        return await connection.call(*command)
    except ReplyError:
        return None


def _fields(info: Any) -> dict[str, str]:
    text = info.decode(errors="replace") if isinstance(info, bytes) else str(info)
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
