"""Requests to services that the configuration names: bounded in time and in bytes, to that address and no other."""

import asyncio
import ipaddress
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from chappe.model.errors import ConfigurationError

#: Connections to one service; more requests wait for them.
_CONNECTIONS: Final = 32


class Unreachable(Exception):
    """The service did not give an answer that can be used; the text says why, without any content."""


def check_url(setting: str, url: str, insecure: bool) -> None:
    """See that a service may be asked.

    Args:
        insecure: plain HTTP is allowed to any host, not only to this machine.
    Raises:
        ConfigurationError: the URL is none, or is not https and not to this machine.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError(f"{setting} is no URL, expected https://HOST/PATH") from None
    if parts.scheme not in ("https", "http") or not host:
        raise ConfigurationError(f"{setting} is no URL of HTTP, expected https://HOST/PATH")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{setting} has a user or a password in it; logs would show them")
    if parts.scheme == "http" and not insecure and not _is_this_machine(host):
        raise ConfigurationError(
            f"{setting} is http:// to another machine, where anybody on the way can change the answer; "
            "use https://, or set auth.insecure_http = true"
        )


class Service:
    """One service that is asked by HTTP. It is asked on the event loop, and never blocks it.

    Attributes:
        url: where it is.
        name: the same for logs, without the query: some services are opened by a key there.
    """

    def __init__(self, url: str, *, answer_bytes: int, timeout_s: float) -> None:
        """Take its address, the largest answer that is read, and what one exchange may take in all, in seconds."""
        self.url = url
        self.name = url.partition("?")[0]
        self._answer_bytes = answer_bytes
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ask(self, method: str, body: Any = None) -> tuple[int, bytes]:
        """Send a request, with a `body` as JSON; return the status and the body of the answer. Redirects are answers.

        Raises:
            Unreachable: there is no answer in time, or it is too large or no HTTP.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._open()
                async with client.stream(method, self.url, json=body) as response:
                    return response.status_code, await self._read(response)
        except TimeoutError:
            raise Unreachable(f"no answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from None

    async def close(self) -> None:
        """Close its connections; a later request opens new ones."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()

    async def _open(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            # Reading the certificates of all authorities takes a while.
            verify = await asyncio.to_thread(ssl.create_default_context) if self.url.startswith("https:") else False
            limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
            # Bytes are counted as they come: what is compressed could be any size.
            headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "chappe"}
            self._client = httpx.AsyncClient(
                verify=verify,
                timeout=self._timeout_s,
                limits=limits,
                headers=headers,
                follow_redirects=False,
                trust_env=False,
            )
            self._loop = loop
        return self._client

    async def _read(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unreachable("the answer is compressed")
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > self._answer_bytes:
                raise Unreachable(f"an answer of more than {self._answer_bytes} bytes")
        return bytes(body)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
