"""Chromium with a cookie that nginx set: a listed page is its user, another page of that host is nobody."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.async_api import Browser

from chappe import Hub
from chappe.config import load
from chappe.testing import running_hub
from chappe.transports.credentials import csrf_token
from tests.browser.visiting import chromium
from tests.integration.test_proxies import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

SECRET = "0123456789abcdef0123456789abcdef"

PAGE = """<!doctype html><meta charset="utf-8"><title>Signed in</title><script>
const hub = "127.0.0.1:HUB";
function socket() {
  return new Promise((told) => {
    const client = new WebSocket(`ws://${hub}/ws`, "chappe.v1");
    client.onopen = () => client.send('{"type":"connect","id":1}');
    client.onmessage = (event) => told(JSON.parse(event.data).user ?? "refused");
    client.onerror = () => told("refused");
  });
}
function stream(query, withCredentials) {
  return new Promise((told) => {
    const events = new EventSource(`http://${hub}/events?channel=news${query}`, { withCredentials });
    events.addEventListener("subscribed", () => { events.close(); told("subscribed"); });
    events.onerror = () => { events.close(); told("refused"); };
  });
}
async function ticket(proof) {
  const headers = { "Content-Type": "application/json", ...(proof ? { "Chappe-CSRF": proof } : {}) };
  try {
    const asking = { method: "POST", credentials: "include", headers, body: "{}" };
    const answer = await fetch(`http://${hub}/api/tickets`, asking);
    return answer.ok ? (await answer.json()).ticket : answer.status;
  } catch { return "unreadable"; }
}
async function everything() {
  const given = await ticket("PROOF");
  return {
    cookie: document.cookie,
    socket: await socket(),
    stream: await stream("", true),
    withoutCookie: await stream("", false),
    unproven: await ticket(""),
    ticket: typeof given === "string" && given.startsWith("chappe-ticket-") ? "given" : given,
    byTicket: await stream(`&ticket=${given}`, false),
    again: await stream(`&ticket=${given}`, false),
  };
}
</script>"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def sites(folder: Path, token: str, ports: list[int]) -> Iterator[None]:
    """Serve the folder's pages on two ports with nginx, whose `/login` sets the cookie."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    cookie = f'add_header Set-Cookie "session={token}; HttpOnly; SameSite=Strict; Path=/";'
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port}; root {folder}/www; default_type text/html;\n"
        f"location = /login {{ {cookie} return 200 'welcome'; }} }}\n"
        for port in ports
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {temporary} {servers} }}"
    )
    with (folder / "log").open("wb") as log:
        command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        program = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(ports[0], program, folder / "log")
        yield
    finally:
        program.terminate()
        program.wait(10)


async def visit(browser: Browser, port: int) -> Any:
    """Log in, open the page and let it try everything."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{port}/login")
    await page.goto(f"http://127.0.0.1:{port}/page.html")
    found = await page.evaluate("everything()")
    await context.close()
    return found


async def test_a_cookie_counts_for_the_listed_page_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    claims = {"sub": "ada", "aud": "chappe", "exp": int(time.time()) + 600}
    token = jwt.encode(claims, SECRET, "HS256")
    listed, other = free_port(), free_port()
    flags = {
        "auth.hmac_secret_file": str(tmp_path / "secret"),
        "auth.algorithms": ("HS256",),
        "auth.cookie_name": "session",
        "server.allowed_origins": (f"http://127.0.0.1:{listed}",),
        "namespaces.default.subscribe": "user",
    }
    async with running_hub(Hub(settings=load("/dev/null", {}, flags).settings)) as hub, chromium() as browser:
        (tmp_path / "www").mkdir()
        page = PAGE.replace("HUB", str(hub.port)).replace("PROOF", csrf_token(token))
        (tmp_path / "www/page.html").write_text(page, "utf-8")
        with sites(tmp_path, token, [listed, other]):
            assert await visit(browser, listed) == {
                "cookie": "",
                "socket": "ada",
                "stream": "subscribed",
                "withoutCookie": "refused",
                "unproven": 401,
                "ticket": "given",
                "byTicket": "subscribed",
                "again": "refused",
            }
            # The browser sends the cookie from there as well.
            refused = await visit(browser, other)
    assert set(refused.values()) == {"", "refused", "unreadable"}, json.dumps(refused)
