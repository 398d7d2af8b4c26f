"""Requests for a session that another node has: passed on to it over the broker, and its answer passed back.

So no load balancer has to know which node has which session. The handle of a session begins with its node; an id that a
client made up belongs to one of the nodes that there are, the same for all of them.
"""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any, Final, TypedDict

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from chappe.api.bodies import read_body
from chappe.api.endpoint import Endpoint
from chappe.api.heads import Receive, Scope
from chappe.api.session_requests import named_session
from chappe.api.waiting import Waiting, settled, until_gone
from chappe.hub.cluster import Cluster
from chappe.hub.cluster.bus import Tell
from chappe.hub.hub import HubCore
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.http_sessions import HttpSessions
from chappe.transports.peer_certificate import EXTENSION, PeerCertificate
from chappe.transports.upgrade import Request

#: Beyond the time that a poll is held, for the way there and back, seconds.
_WAY_S: Final = 5.0
#: Sessions of other nodes that POSTs may name without a question first; the ones named longest ago are asked for again.
_MAX_KNOWN: Final = 10_000
#: In the scope of a request that another node passed on: it is answered here, whoever has its session.
_PASSED_ON: Final = "chappe.passed_on"
_NOT_FOUND: Final = 404
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

    def __init__(self, hub: HubCore, cluster: Cluster, sessions: HttpSessions) -> None:
        self._hub = hub
        self._cluster = cluster
        self._sessions = sessions
        self._apps: Mapping[str, Endpoint] = {}
        self._known: dict[str, None] = {}
        self._numbers = itertools.count(1)
        self._gone: dict[tuple[str, int], asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.forwarded = 0
        self.served = 0
        cluster.bus.on("http.known", self._tell_known, str)
        cluster.bus.on("http.request", self._serve, _Request)
        cluster.bus.on("http.gone", self._client_gone, int)

    def serve(self, apps: Mapping[str, Endpoint]) -> None:
        """Carry requests of other nodes out with these apps, by path."""
        self._apps = apps

    async def stop(self) -> None:
        """End what is carried out for others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {"chappe_forwarded_total": self.forwarded, "chappe_forwarded_served_total": self.served}

    # --- At the node that is asked -----------------------------------------------------------------------------------

    def node_of(self, handle: str, scope: Scope) -> str | None:
        """Return the other node that has the session of a handle; None: the answer to this request is here."""
        return None if scope.get(_PASSED_ON) else self._cluster.node_of(handle)

    def node_for(self, client_id: str, scope: Scope) -> str | None:
        """Return the other node that has the session of an id that a client made up; None: the answer is here."""
        return None if scope.get(_PASSED_ON) else self._cluster.node_for(client_id)

    async def check_known(self, node: str, handle: str) -> None:
        """Ask the other node whether it has a session, unless it had it before: of strangers nothing is read here.

        Raises:
            ChappeError: 108, it does not answer; 117, it has not.
        """
        if handle in self._known:
            self._known[handle] = self._known.pop(handle)
            return
        asked: Waiting[bool | None] = Waiting()
        answered = asked.take(lambda answers: answers.get(node))
        self._cluster.bus.ask("http.known", handle, (node,), lambda answers: answered(answers, None), of=bool)
        known = await settled(asked)
        if known is None:
            raise _silence()
        if not known:
            raise ChappeError(Code.UNKNOWN_SESSION)
        self._known[handle] = None
        if len(self._known) > _MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def forward(self, node: str, head: Request, scope: Scope, receive: Receive) -> Response:
        """Return the other node's answer to a request that this node lets in.

        Raises:
            ChappeError: 108, it does not answer; 107, 113, the body is none.
            ClientDisconnect: nobody waits for an answer.
        """
        number = next(self._numbers)
        body = await read_body(receive, head.headers.get("content-length")) if head.method == "POST" else b""
        self.forwarded += 1
        question: _Request = {
            "number": number,
            "method": head.method,
            "path": scope["path"].removeprefix(scope.get("root_path", "")),
            "query": scope.get("query_string", b""),
            "headers": [header for header in scope["headers"] if header[0].lower() in _PASSED],
            "client": head.address,
            "scheme": "https" if head.secure else "http",
            "certificate": msgspec.to_builtins(head.certificate),
            "body": body,
        }
        waiting: asyncio.Future[_Response | None] = asyncio.get_running_loop().create_future()
        is_left = False

        def answered(answers: Mapping[str, Any]) -> None:
            if not waiting.done():
                waiting.set_result(answers.get(node))

        def leave() -> None:
            nonlocal is_left
            is_left = True
            self._cluster.bus.tell("http.gone", number, node)
            if not waiting.done():
                waiting.set_result(None)

        timeout_s = self._sessions.options.hold_s + _WAY_S
        self._cluster.bus.ask("http.request", question, (node,), answered, timeout_s, _Response)
        try:
            answer = await until_gone(waiting, leave, scope, receive)
        finally:
            # Also when the server cancels us.
            if not waiting.done():
                leave()
        if answer is None:
            if is_left:
                raise ClientDisconnect
            raise _silence()
        if answer["status"] == _NOT_FOUND:
            self._known.pop(named_session(head), None)
        return _Answer(answer)

    # --- At the node that has the session ----------------------------------------------------------------------------

    def _tell_known(self, sender: str, body: str, answer: Tell) -> None:
        answer(self._sessions.find(body) is not None or self._hub.resumption.find(body) is not None)

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
            _PASSED_ON: True,
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


class _Answer(Response):
    """What the other node said, but for what pages may read: that is this node's word."""

    def __init__(self, told: _Response) -> None:
        self.status_code = told["status"]
        self.background = None
        self.body = told["body"]
        self.raw_headers = [header for header in told["headers"] if not header[0].startswith(b"access-control-")]


def _silence() -> ChappeError:
    return ChappeError(Code.NOT_AVAILABLE, "the node that has this session does not answer")
