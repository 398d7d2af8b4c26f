"""A hub behind TLS, and foreign programs that connect to it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from chappe.app import Hub
from chappe.config import load
from chappe.serving import Server
from tests.server.authority import Authority, Issued

HELLO = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@contextlib.asynccontextmanager
async def serving(main: Issued, **flags: Any) -> AsyncIterator[Server]:
    """Serve a hub over TLS for the length of a block."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    tls = {"server.dev": True, "server.cert": main.cert, "server.key": main.key, **dotted}
    server = Server(Hub(settings=load("/dev/null", {}, tls).settings), port=0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def trusting(authority: Authority, client: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.cert)
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    return context


async def run(*command: str, stdin: bytes = b"") -> tuple[int, str]:
    """Run a foreign program; return its exit code and all it said."""
    program = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await program.communicate(stdin)
    assert program.returncode is not None
    return program.returncode, said.decode(errors="replace")


def s_client(server: Server, authority: Authority, *more: str) -> tuple[str, ...]:
    place = ("-connect", f"127.0.0.1:{server.port}", "-CAfile", authority.cert)
    return ("openssl", "s_client", *place, "-verify_return_error", "-ign_eof", *more)


async def shown_to(server: Server, authority: Authority, name: str) -> str:
    """Return the certificate's subject that openssl sees when it asks for a name."""
    _, said = await run(*s_client(server, authority, "-servername", name), stdin=HELLO)
    assert "HTTP/1.1 200" in said, said
    return said.partition("subject=")[2].splitlines()[0]
