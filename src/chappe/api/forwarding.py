"""Requests for a session that another node has: passed on to it over the broker, and its answer passed back.

So no load balancer has to know which node has which session. The handle of a session begins with its node; an id that a
client made up belongs to one of the nodes that there are, the same for all of them.
"""

import asyncio
import functools
import itertools
from collections.abc import Mapping
from typing import Any, Final, TypedDict

import msgspec
from starlette.requests import ClientDisconnect

from chappe.api.bodies import read_body
from chappe.api.endpoint import Endpoint
from chappe.api.gate import AsgiApp
from chappe.api.heads import Receive, Scope, Send, read_head
from chappe.api.polling import until_gone
from chappe.api.problems import problem_response
from chappe.api.session_requests import named_session
from chappe.hub.cluster import Cluster
from chappe.hub.cluster.bus import Tell
from chappe.hub.hub import HubCore
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.peer_certificate import EXTENSION, PeerCertificate
from chappe.transports.upgrade import language_of

#: Beyond the time that a poll is held, for the way there and back, seconds.
_WAY_S: Final = 5.0
#: Headers that the other node needs; the rest is between the client and this one.
_PASSED: Final = frozenset(
    {
        b"accept-language",
        b"authorization",
        b"chappe-csrf",
        b"chappe-session",
        b"content-length",
        b"cookie",
        b"host",
        b"origin",
        b"x-forwarded-for",
        b"x-forwarded-proto",
    }
)


class _Request(TypedDict):
    """A request as it is passed on; `number` names it among those of its node."""

    number: int
    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    client: str
    scheme: str
    certificate: Any
    body: bytes


class _Response(TypedDict):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Forwarding:
    """The way of requests to the node that has their session, at both of its ends.

    Attributes:
        forwarded, served: requests passed on, and those carried out for other nodes.
    """

    def __init__(self, hub: HubCore, cluster: Cluster, hold_s: float, default_language: str) -> None:
        self._hub = hub
        self._cluster = cluster
        self._hold_s = hold_s
        self._default_language = default_language
        self._apps: Mapping[str, Endpoint] = {}
        self._numbers = itertools.count(1)
        self._gone: dict[tuple[str, int], asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.forwarded = 0
        self.served = 0
        cluster.bus.on("http.request", self._serve, _Request)
        cluster.bus.on("http.gone", self._client_gone, int)

    def wrap(self, apps: Mapping[str, Endpoint]) -> dict[str, AsgiApp]:
        """Return apps by path that answer here what is of this node, and elsewhere what is not."""
        self._apps = apps
        return {path: functools.partial(self._call, app) for path, app in apps.items()}

    async def stop(self) -> None:
        """End what is carried out for others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {"chappe_forwarded_total": self.forwarded, "chappe_forwarded_served_total": self.served}

    # --- At the node that is asked -----------------------------------------------------------------------------------

    async def _call(self, app: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        node = self._node_of(scope)
        if node is None:
            await app(scope, receive, send)
        else:
            await self._forward(node, scope, receive, send)

    def _node_of(self, scope: Scope) -> str | None:
        """Return the other node whose session a request names, if it is there; None: the answer is here."""
        try:
            head = read_head(scope)
        except ChappeError:
            # The endpoint says so.
            return None
        client_id = head.query.get("clientId")
        return self._cluster.node_of(named_session(head)) if client_id is None else self._cluster.node_for(client_id)

    async def _forward(self, node: str, scope: Scope, receive: Receive, send: Send) -> None:
        head = read_head(scope)
        language = language_of(head, self._default_language)
        number = next(self._numbers)
        self.forwarded += 1
        try:
            body = await read_body(receive, head.headers.get("content-length")) if head.method == "POST" else b""
        except ClientDisconnect:
            return
        except ChappeError as error:
            await problem_response(error, language)(scope, receive, send)
            return
        question: _Request = {
            "number": number,
            "method": head.method,
            "path": scope["path"].removeprefix(scope.get("root_path", "")),
            "query": scope.get("query_string", b""),
            "headers": [header for header in scope["headers"] if header[0].lower() in _PASSED],
            "client": head.address,
            "scheme": scope.get("scheme", "http"),
            "certificate": msgspec.to_builtins(head.certificate),
            "body": body,
        }
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answered(answers: Mapping[str, Any]) -> None:
            if not waiting.done():
                waiting.set_result(answers.get(node, _NO_ANSWER))

        def leave() -> None:
            self._cluster.bus.tell("http.gone", number, node)
            if not waiting.done():
                waiting.set_result(None)

        self._cluster.bus.ask("http.request", question, (node,), answered, self._hold_s + _WAY_S, _Response)
        answer = await until_gone(waiting, leave, scope, receive)
        if answer is _NO_ANSWER:
            silence = ChappeError(Code.NOT_AVAILABLE, "the node that has this session does not answer")
            await problem_response(silence, language)(scope, receive, send)
        elif answer is not None:
            await send({"type": "http.response.start", "status": answer["status"], "headers": answer["headers"]})
            await send({"type": "http.response.body", "body": answer["body"]})

    # --- At the node that has the session ----------------------------------------------------------------------------

    def _serve(self, sender: str, body: _Request, answer: Tell) -> None:
        app = self._apps.get(body["path"])
        if app is None:
            return
        self.served += 1
        task = asyncio.get_running_loop().create_task(self._carry_out(app, sender, body, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, app: Endpoint, sender: str, asked: _Request, answer: Tell) -> None:
        gone = self._gone[sender, asked["number"]] = asyncio.Event()
        parts = [{"type": "http.request", "body": asked["body"], "more_body": False}]
        told: _Response = {"status": 500, "headers": [], "body": b""}

        async def receive() -> dict[str, Any]:
            if parts:
                return parts.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
                told["headers"] = list(message.get("headers", ()))
            else:
                told["body"] += message.get("body", b"")

        scope = {
            "type": "http",
            "method": asked["method"],
            "path": asked["path"],
            "raw_path": asked["path"].encode(),
            "query_string": asked["query"],
            "root_path": "",
            "headers": asked["headers"],
            "client": (asked["client"], 0),
            "scheme": asked["scheme"],
            "http_version": "1.1",
            "extensions": {EXTENSION: msgspec.convert(asked["certificate"], PeerCertificate | None)},
        }
        try:
            await app(scope, receive, send)
        except Exception as error:
            self._hub.report(error, "a request for another node failed")
            told = {"status": 500, "headers": [], "body": b""}
        finally:
            self._gone.pop((sender, asked["number"]), None)
        answer(told)

    def _client_gone(self, sender: str, body: Any, answer: Tell) -> None:
        gone = self._gone.get((sender, body))
        if gone is not None:
            gone.set()


_NO_ANSWER: Final = object()
