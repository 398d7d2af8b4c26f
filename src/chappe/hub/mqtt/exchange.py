"""Enhanced authentication (MQTT 5, 4.12): a method of the application talks with a client until it knows who it is."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec.structs import replace

from chappe.hub.contracts import Claims, Timer
from chappe.hub.mqtt.kinds import CONNECTING
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, LocalProtocolError, Refused
from chappe.protocols import base
from chappe.protocols.mqtt.packets import Auth, AuthProperties
from chappe.protocols.mqtt.reason_codes import ReasonCode

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient

AuthMethod: TypeAlias = "Callable[[Exchange], Awaitable[Claims]]"
"""Find out who a client is; raises whatever refuses it."""

Answered: TypeAlias = Callable[[bytes | None, ChappeError | None], None]


class Exchange:
    """One run of a method, before CONNACK or, when a client wants it again, later.

    It has `limits.handshake_timeout_s`; other packets of a client that is connected go on meanwhile.

    Attributes:
        method, data: the method and the data that CONNECT, or the AUTH that began it, brought.
        answer: data of the method for the packet that says yes; None: none.
        is_again: it is a connected client's, who must be the same user afterwards.
    """

    def __init__(self, client: "MqttClient", data: bytes, is_again: bool) -> None:
        self.client = client
        self.method = client.auth_method
        self.data = data
        self.answer: bytes | None = None
        self.is_again = is_again
        self._waiting: Answered | None = None
        self._is_over = False
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Run the method."""
        hub = self.client.hub
        self._timer = hub.clock.call_later(hub.limits.handshake_timeout_s, self._late)
        hub.hooks.spawn(self.client.service.methods[self.method](self), self._finished)

    def ask(self, data: bytes, done: Answered) -> None:
        """Send data to the client; `done` gets the data that it answers, or 108: it left, or was too slow.

        Raises:
            LocalProtocolError: it was asked already and has not answered.
        """
        if self._is_over:
            done(None, _gone())
            return
        if self._waiting is not None:
            raise LocalProtocolError("the client was asked already, and has not answered yet")
        self._waiting = done
        self._say(ReasonCode.CONTINUE_AUTHENTICATION, data)

    def take(self, packet: Auth) -> None:
        """Take what the client answers."""
        client, properties = self.client, packet.properties
        if properties.authentication_method != self.method:
            client.fail(ReasonCode.PROTOCOL_ERROR, "an AUTH of another method than that of CONNECT")
        elif packet.reason_code != ReasonCode.CONTINUE_AUTHENTICATION or self._waiting is None:
            client.fail(ReasonCode.PROTOCOL_ERROR, "an AUTH that nobody asked for")
        else:
            waiting, self._waiting = self._waiting, None
            waiting(properties.authentication_data or b"", None)

    def end(self) -> None:
        """Let a method go whose client left."""
        self._is_over = True
        self.client.exchange = None
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting(None, _gone())

    def _late(self) -> None:
        self.client.service.auth_timeouts += 1
        self.client.fail(ReasonCode.NOT_AUTHORIZED, "the authentication took too long", breach=False)

    def _finished(self, claims: Any, error: BaseException | None) -> None:
        """Take what the method says."""
        if self._is_over:
            return
        self.end()
        if error is not None:
            self._refuse(self._refusal(error))
        elif self.is_again:
            self.client.hub.authentication.judge(claims, self._renew)
        else:
            self._let_in(claims)

    def _let_in(self, claims: Claims) -> None:
        client, session = self.client, self.client.session
        assert client.handshake is not None
        client.handshake.auth_answer = self.answer
        session.peer = replace(session.peer, token=None, claims=claims)
        session.execute(base.Connect(CONNECTING, None, client.user_name or None))

    def _renew(self, claims: Claims | None, error: ChappeError | None) -> None:
        """Give a connected client what its method says that it may from here on."""
        client, session = self.client, self.client.session
        if session.is_over:
            return
        if claims is None:
            self._refuse(error or ChappeError(Code.UNAUTHORIZED))
        elif claims.user != session.user:
            self._refuse(ChappeError(Code.UNAUTHORIZED, detail={"problem": "it is another user"}))
        else:
            client.hub.connecting.renew(session, claims)
            if not session.is_over:
                self._say(ReasonCode.SUCCESS, self.answer)

    def _refuse(self, error: ChappeError) -> None:
        """Say no, and end (4.12.1: also the session of a client that was let in before)."""
        client, session = self.client, self.client.session
        client.hub.counters.unauthorized += 1
        if self.is_again:
            client.fail(ReasonCode.NOT_AUTHORIZED, session.failure(None, error).reason, breach=False)
        else:
            session.fail(CONNECTING, error)

    def _refusal(self, error: BaseException) -> ChappeError:
        if isinstance(error, Refused):
            # Which code an application chose is for those who can be told it.
            return ChappeError(Code.PERMISSION_DENIED, error.reason)
        return self.client.hub.as_refusal(error)

    def _say(self, reason_code: ReasonCode, data: bytes | None) -> None:
        self.client.put(Auth(reason_code, AuthProperties(self.method, data)))


def _gone() -> ChappeError:
    return ChappeError(Code.NOT_AVAILABLE, "the client has left")
