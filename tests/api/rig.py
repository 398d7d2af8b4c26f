"""The HTTP API over a hub in a box: real routes, real hub and broker, requests without a socket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import msgspec
from starlette.applications import Starlette

from chappe.api import ApiContext, GateMiddleware, PageContext, build_api
from chappe.auth.api_keys import ApiKeys
from chappe.hub.contracts import Claims
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.admission import Admission
from chappe.transports.credentials import NO_COOKIE, CredentialReader
from chappe.transports.proxies import Proxies
from chappe.transports.upgrade import Gate
from tests.hub.harness import World

KEY: Final = "chappe_q5Yk0v1H4dW8mXrJt2nZbA7cPfEo3uLs"
HOST: Final = "hub.test"


class Tokens:
    """Knows tokens by heart: `user:scope,scope`; `expired` has expired."""

    def authenticate(self, token: str, wall_s: float) -> Claims:
        """Verify a token."""
        if token == "expired":
            raise ChappeError(Code.TOKEN_EXPIRED)
        user, separator, scopes = token.partition(":")
        if not separator:
            raise ChappeError(Code.UNAUTHORIZED, detail={"problem": "unknown token"})
        return Claims(user=user or None, scopes=frozenset(scopes.split(",")) - {""}, subscribe=("#",), publish=("#",))


class Api:
    """A hub with its HTTP API.

    Attributes:
        reasons: what the parts above say stands in the way of serving.
        above: metrics of the parts above.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        api_open: bool = False,
        language: str = "en",
        proxies: tuple[str, ...] = (),
        reader: CredentialReader = NO_COOKIE,
    ) -> None:
        self.world = world or World(authenticator=Tokens())
        self.hub = self.world.hub
        self.reasons: dict[str, str] = {}
        self.above: dict[str, float] = {"chappe_links": 3}
        context = ApiContext(
            hub=self.hub,
            api_open=api_open,
            api_keys=ApiKeys({"shop": hashlib.sha256(KEY.encode()).digest()}),
            readiness=lambda: self.reasons,
            metrics=lambda: self.above,
            version="1.2.3",
            node="n1",
            default_language=language,
            reader=reader,
            proxies=Proxies(proxies),
        )
        gate = Gate(hosts=frozenset({HOST}))
        page = PageContext(gate, Proxies(), Admission(self.hub.limits.connections_per_address))
        self.routes = build_api(context, page)
        self.app = GateMiddleware(Starlette(routes=self.routes), gate)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: bytes | None = None,
        credential: str | None = KEY,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request; with a `body` as JSON."""
        transport = httpx.ASGITransport(app=self.app)
        fields = dict(headers or {})
        if credential is not None:
            fields.setdefault("Authorization", f"Bearer {credential}")
        if body is not None:
            content = msgspec.json.encode(body)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await client.request(method, path, content=content, headers=fields)

    async def post(self, command: str, body: Any, credential: str = KEY) -> Any:
        """Carry a command out that succeeds; return its answer."""
        response = await self.request("POST", f"/api/{command}", body=body, credential=credential)
        assert response.status_code == 200, response.text
        return response.json()

    async def refused(self, command: str, body: Any, credential: str | None = KEY, path: str = "") -> Any:
        """Carry a command out that fails; return its problem, which is a whole one."""
        response = await self.request("POST", path or f"/api/{command}", body=body, credential=credential)
        return problem(response)

    async def while_time_passes(self, request: Any) -> Any:
        """Send a request and let time pass until it is answered."""
        task = asyncio.ensure_future(request)
        while not task.done():
            await asyncio.sleep(0)
            self.world.clock.advance(0.01)
        return await task


def problem(response: httpx.Response) -> Any:
    """Return the body of an error, having seen that it says what RFC 9457 and we ask for."""
    assert response.status_code >= 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == f"urn:chappe:error:{body['code']}"
    assert set(body) == {"type", "title", "status", "detail", "code", "retry", "parameters"}
    return body


class AsgiBody:
    """The `receive` of a request whose body comes in parts; after them the client is silent, or gone."""

    def __init__(self, *parts: bytes, gone: bool = False, silent: bool = False) -> None:
        self._parts: Iterator[bytes] = iter(parts)
        self._left = len(parts)
        self._gone = gone
        self._silent = silent

    async def __call__(self) -> dict[str, Any]:
        for part in self._parts:
            self._left -= 1
            return {"type": "http.request", "body": part, "more_body": self._left > 0 or self._gone or self._silent}
        if self._silent:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}
