"""The real nginx, Caddy and HAProxy, with the files of deploy/, between clients and a hub."""

import asyncio
import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import websockets

from chappe.model.error_codes import Code
from tests.docs.library import ROOT
from tests.hostile.neighbourhood import PATIENCE_S, served
from tests.hostile.test_messages import OPEN
from tests.server.authority import Authority, Issued

pytestmark = pytest.mark.slow

#: Where programs connect from: the hub trusts 127.0.0.1, where the proxy is.
CLIENT: Final = "127.0.0.2"
PER_ADDRESS: Final = 5


def nginx(folder: Path, port: int, hub_port: int, issued: Issued) -> list[str]:
    """Write the configuration of nginx; return how to start it."""
    site = (ROOT / "deploy/nginx/chappe.conf").read_text(encoding="utf-8")
    site = replaced(site, "listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
    site = replaced(site, "server_name chat.example.org;", "server_name localhost;")
    site = replaced(site, "127.0.0.1:8080", f"127.0.0.1:{hub_port}")
    site = replaced(site, "/etc/ssl/chat.example.org.pem", issued.cert)
    site = replaced(site, "/etc/ssl/chat.example.org.key", issued.key)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off;\n{temporary}{site}\n}}"
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(file)]


def caddy(folder: Path, port: int, hub_port: int, issued: Issued) -> list[str]:
    """Write the configuration of Caddy; return how to start it."""
    site = (ROOT / "deploy/caddy/Caddyfile").read_text(encoding="utf-8")
    site = replaced(site, "chat.example.org {", f"https://localhost:{port} {{\n\ttls {issued.cert} {issued.key}")
    site = replaced(site, "127.0.0.1:8080", f"127.0.0.1:{hub_port}")
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site)
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


def haproxy(folder: Path, port: int, hub_port: int, issued: Issued) -> list[str]:
    """Write the configuration of HAProxy; return how to start it."""
    site = (ROOT / "deploy/haproxy/haproxy.cfg").read_text(encoding="utf-8")
    # It reserves two descriptors for each.
    site = replaced(site, "maxconn 20000", "maxconn 1000")
    site = replaced(site, "bind :443", f"bind 127.0.0.1:{port}")
    site = replaced(site, "127.0.0.1:8080", f"127.0.0.1:{hub_port}")
    issued.join()
    site = replaced(site, "/etc/ssl/chat.example.org.pem", issued.cert)
    file = folder / "haproxy.cfg"
    file.write_text(site)
    return ["haproxy", "-db", "-f", str(file)]


PROXIES: Final[dict[str, Callable[[Path, int, int, Issued], list[str]]]] = {
    "nginx": nginx,
    "caddy": caddy,
    "haproxy": haproxy,
}


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"expected {old!r} once"
    return text.replace(old, new)


class Front:
    """A proxy in front of a hub."""

    def __init__(self, port: int, authority: Authority) -> None:
        self.port = port
        self.tls = ssl.create_default_context(cafile=authority.cert)

    def http(self) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(verify=self.tls, local_address=CLIENT)
        return httpx.AsyncClient(base_url=f"https://localhost:{self.port}", transport=transport, timeout=20)

    def connect(self, address: str = CLIENT, **options: Any) -> websockets.connect:
        uri = f"wss://localhost:{self.port}/ws"
        return websockets.connect(uri, ssl=self.tls, proxy=None, local_addr=(address, 0), **options)

    async def raw(self, path: str) -> int:
        """Ask for a path as it stands; return the status."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.tls, server_hostname="localhost"
        )
        writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        try:
            line = await reader.readline()
        finally:
            writer.transport.abort()
        return int(line.split()[1])


@pytest.fixture(scope="module", params=PROXIES)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Start a hub and a proxy in front of it."""
    folder = tmp_path_factory.mktemp(request.param)
    authority = Authority(folder)
    issued = authority.issue("localhost", "localhost", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags: dict[str, Any] = {"server__dev": False, "auth__anonymous": True, **OPEN}
    flags["limits__connections_per_address"] = PER_ADDRESS
    with served(server__trusted_proxies=("127.0.0.1",), **flags) as hub:
        command = PROXIES[request.param](folder, port, hub.port, issued)
        environ = {**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with (folder / "log").open("wb") as log:
            program = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=folder)
        try:
            wait_for(port, program, folder / "log")
            yield Front(port, authority)
        finally:
            program.terminate()
            program.wait(10)


def wait_for(port: int, program: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if program.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the proxy does not serve:\n{log.read_text()}") from None
            time.sleep(0.05)
        else:
            return


async def test_a_websocket_goes_through_both_ways(front: Front) -> None:
    async with front.connect(subprotocols=[websockets.Subprotocol("chappe.v1")]) as client:
        await client.send('{"type":"subscribe","id":1,"channel":"proxied"}')
        assert json.loads(await client.recv())["type"] == "reply"
        for number in range(50):
            data = "x" * 1_000 * number
            await client.send(json.dumps({"type": "publish", "id": 2, "channel": "proxied", "data": data}))
            heard = [json.loads(await client.recv()) for _ in range(2)]
            assert [message["data"] for message in heard if message["type"] == "publication"] == [data]


async def test_a_publication_leaves_a_stream_at_once(front: Front) -> None:
    path = "/events?channel=streamed"
    async with front.http() as http, front.connect() as client, http.stream("GET", path) as stream:
        assert stream.status_code == 200
        lines = stream.aiter_lines()
        for number in range(3):
            await client.send(json.dumps({"type": "publish", "id": 1, "channel": "streamed", "data": f"n{number}"}))
            async with asyncio.timeout(PATIENCE_S):
                async for line in lines:
                    if line.startswith("data:") and f"n{number}" in line:
                        break


async def test_a_poll_is_held_and_answered_when_something_comes(front: Front) -> None:
    async with front.http() as http:
        session = (await http.get("/poll")).json()["session"]
        commands = [{"type": "subscribe", "id": 1, "channel": "polled"}]
        assert (await http.post("/send", params={"session": session}, json=commands)).status_code == 200
        poll = asyncio.create_task(http.get("/poll", params={"session": session}))
        commands = [{"type": "publish", "id": 2, "channel": "polled", "data": "here"}]
        await http.post("/send", params={"session": session}, json=commands)
        async with asyncio.timeout(PATIENCE_S):
            assert "here" in (await poll).text
        await http.delete("/poll", params={"session": session})


@pytest.mark.parametrize(
    "path",
    [
        "/api/publish",
        "/api",
        "/metrics",
        "//api/publish",
        "/%61pi/publish",
        "/api%2fpublish",
        "/x/../api/publish",
        "/./api/publish",
        "/API/publish",
        "/api/../api/publish",
        "/%2561pi/publish",
    ],
)
async def test_no_spelling_of_a_private_path_reaches_the_hub_s_api(front: Front, path: str) -> None:
    status = await front.raw(path)
    assert status in (400, 403, 404, 405), (path, status)
    if re.fullmatch(r"/(api/publish|metrics)", path):
        assert status == 403


async def test_clients_are_told_apart_by_their_address_and_not_by_what_they_make_up(front: Front) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for number in range(PER_ADDRESS):
            made_up = {"X-Forwarded-For": f"203.0.113.{number}"}
            await stack.enter_async_context(front.connect("127.0.0.3", additional_headers=made_up))
        async with front.connect("127.0.0.3", additional_headers={"X-Forwarded-For": "127.0.0.1"}) as one_too_many:
            await one_too_many.wait_closed()
            assert one_too_many.close_code == Code.CONNECTION_LIMIT
        async with front.connect() as other:
            await other.send('{"type":"ping","id":1}')
            assert json.loads(await other.recv())["type"] == "pong"


async def test_the_console_and_its_files_are_served(front: Front) -> None:
    async with front.http() as http:
        page = await http.get("/", headers={"Accept-Encoding": "gzip"})
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "Content-Security-Policy" in page.headers
