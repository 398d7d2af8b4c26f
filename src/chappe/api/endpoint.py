"""The HTTP side of a command: who asks, what, and how the answer or the error is written."""

import abc
import inspect
import time
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from chappe.api.bodies import decode_body, decode_parameters, read_body
from chappe.api.commands import Call, Command
from chappe.api.context import ApiContext
from chappe.api.credentials import Caller, Credentials
from chappe.api.heads import Receive, Scope, Send, read_head, read_parameters
from chappe.api.problems import HttpError, problem_response
from chappe.api.waiting import Waiting, settled
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.admission import WELCOME
from chappe.transports.upgrade import Request, language_of

#: Answers are somebody's data and true for a moment.
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Service:
    """What all endpoints share.

    Attributes:
        credentials: tells who calls.
        started_at: monotonic seconds of the hub's clock when the API was built.
    """

    def __init__(self, context: ApiContext) -> None:
        self.context = context
        self.hub = context.hub
        self.credentials = Credentials(context)
        self.started_at = time.monotonic()

    def call(self, command: Command, caller: Caller, language: str, address: str = "") -> Call:
        """Return a call of a command, with no more rights than the command needs."""
        actor = caller.actor(command.scopes)
        return Call(self.hub, caller, actor, language, address, time.monotonic() - self.started_at)

    def language(self, head: Request) -> str:
        """Return the language of error texts: `?lang=`, Accept-Language, the default."""
        return language_of(head, self.context.default_language)


class Endpoint(abc.ABC):
    """An ASGI app that answers one request, errors included; a subclass does the work."""

    #: Methods that are answered, the first is the usual one.
    methods: tuple[str, ...] = ("GET",)

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a client that went away gets nothing."""
        language = self.service.context.default_language
        try:
            head = self.service.context.proxies.resolve(read_head(scope))
            language = self.service.language(head)
            if head.method not in self.methods:
                allowed = ", ".join(self.methods)
                text = f"method {head.method[:16]} here, expected {allowed}"
                raise HttpError(405, Code.BAD_REQUEST, text, headers={"Allow": allowed})
            response = await self.respond(head, scope, receive, language)
        except ClientDisconnect:
            return
        except ChappeError as error:
            self.service.hub.counters.count_error(error.code)
            response = problem_response(error, language)
        except Exception as error:
            self.service.hub.report(error, f"a request to {scope['path']} failed")
            response = problem_response(ChappeError(Code.INTERNAL_ERROR), language)
        await response(scope, receive, send)

    @abc.abstractmethod
    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Return the answer.

        Raises:
            ChappeError: the error that is told instead.
        """


class CommandEndpoint(Endpoint):
    """`POST /api/<command>` with a JSON body, and for what only reads `GET /api/<command>?...`."""

    def __init__(self, service: Service, command: Command) -> None:
        super().__init__(service)
        self.command = command
        self.methods = ("POST", "GET", "HEAD") if command.reads else ("POST",)

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Carry the command out."""
        return await carry_out(self.service, self.command, head, scope, receive, language)


async def carry_out(
    service: Service, command: Command, head: Request, scope: Scope, receive: Receive, language: str
) -> Response:
    """Return the answer to a request for a command.

    Raises:
        ChappeError: the error that is told instead.
    """
    # The credential is looked at first: who has none makes us read nothing.
    caller = await service.credentials.identify(head)
    if caller.is_backend and (give_turn_back := scope.get("extensions", {}).get(WELCOME)) is not None:
        give_turn_back()
    if head.method == "POST":
        body = await read_body(receive, head.headers.get("content-length"))
        # The body has its time, in which whoever sends it may be revoked.
        await service.credentials.confirm(caller, head)
        asked = decode_body(body, command.asked, service.hub.limits)
    else:
        asked = decode_parameters(read_parameters(scope), command.asked)
    answer = command.carry_out(service.call(command, caller, language, head.address), asked)
    if isinstance(answer, Waiting):
        answer = await settled(answer)
    elif inspect.isawaitable(answer):
        answer = await answer
    return json_response(answer)


class UnknownEndpoint(Endpoint):
    """What is no command: 404 with the commands that there are."""

    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

    def __init__(self, service: Service, names: list[str]) -> None:
        super().__init__(service)
        self._names = names

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Say what there is."""
        raise HttpError(404, Code.UNKNOWN_COMMAND, f"no such command, expected one of {', '.join(self._names)}")


def json_response(answer: Any) -> Response:
    """Return an answer as JSON; values that JSON has no word for leave as their text."""
    return Response(msgspec.json.encode(answer, enc_hook=str), 200, _HEADERS, "application/json")
