"""Enhanced authentication: a method and a client, packet by packet (MQTT 5, 4.12)."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.mqtt import Exchange
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, LocalProtocolError, Refused
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import (
    Auth,
    AuthProperties,
    Connack,
    Connect,
    ConnectProperties,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Subscribe,
    SubscribeFilter,
)
from tests.hub.harness import Gate
from tests.hub.mqtt.rig import V5, Box, Device

CONTINUE, AGAIN = 0x18, 0x19


class Riddle:
    """A method that asks as many times as `questions` says; the right answer is the question, backwards.

    Attributes:
        claims: who somebody is who knows the answers.
        ends: how its runs ended.
        error: what it raises at the end in place of that.
    """

    def __init__(self, box: Box, questions: int = 1) -> None:
        self.box = box
        self.questions = questions
        self.claims = Claims(user="ada")
        self.ends: list[str] = []
        self.error: Exception | None = None
        self.again: list[bool] = []
        box.service.methods["RIDDLE"] = self

    async def __call__(self, exchange: Exchange) -> Claims:
        """Ask."""
        self.again.append(exchange.is_again)
        try:
            for number in range(self.questions):
                question = b"q%d:" % number + exchange.data
                if await self._ask(exchange, question) != question[::-1]:
                    raise ChappeError(Code.UNAUTHORIZED, "a wrong answer")
            if self.error is not None:
                raise self.error
        except Exception as error:
            self.ends.append(getattr(error, "reason", str(error)))
            raise
        self.ends.append("known")
        exchange.answer = b"welcome"
        return self.claims

    async def _ask(self, exchange: Exchange, question: bytes) -> bytes:
        gate, came = Gate(), []

        def done(data: bytes | None, error: ChappeError | None) -> None:
            came.append(error or data or b"")
            gate.open()

        exchange.ask(question, done)
        await gate
        (found,) = came
        if isinstance(found, ChappeError):
            raise found
        assert isinstance(found, bytes)
        return found


def begin(box: Box, method: str = "RIDDLE", **connect: Any) -> Device:
    """Send CONNECT with a method."""
    device = Device(box, V5)
    asked = ConnectProperties(authentication_method=method, authentication_data=b"hello")
    device.send(Connect("c", V5, True, properties=asked, **connect))
    return device


def auth(data: bytes, reason_code: int = CONTINUE, method: str = "RIDDLE") -> Auth:
    return Auth(reason_code, AuthProperties(method, data))


def reply(device: Device) -> None:
    """Answer the question that came, rightly."""
    (asked,) = device.take()
    assert isinstance(asked, Auth)
    assert (asked.reason_code, asked.properties.authentication_method) == (CONTINUE, "RIDDLE")
    device.send(auth((asked.properties.authentication_data or b"")[::-1]))


def reason_of(said: list[Packet]) -> int:
    """Return why a connection was refused or ended, by the last thing that was said."""
    last = said[-1]
    assert isinstance(last, Connack | Disconnect)
    return last.reason_code


def let_in(box: Box) -> Device:
    """Connect somebody who knows the answer."""
    device = begin(box)
    reply(device)
    assert isinstance(device.take()[0], Connack)
    return device


@pytest.mark.parametrize("questions", [0, 1, 3])
def test_a_client_is_let_in_after_as_many_questions_as_the_method_has(questions: int) -> None:
    box = Box()
    riddle = Riddle(box, questions)
    device = begin(box)
    for _ in range(questions):
        reply(device)
    (connack,) = device.take()
    assert isinstance(connack, Connack)
    assert connack.reason_code == 0
    assert connack.properties.authentication_method == "RIDDLE"
    assert connack.properties.authentication_data == b"welcome"
    assert device.mqtt.session.user == "ada"
    assert (riddle.ends, riddle.again) == (["known"], [False])
    box.clock.advance(60.0)
    device.send(Pingreq())
    assert isinstance(device.take()[-1], Pingresp)


def test_an_unknown_method_is_refused() -> None:
    box = Box()
    Riddle(box)
    device = begin(box, "GUESS")
    assert reason_of(device.take()) == 0x8C
    assert device.line.closed is not None


def test_a_wrong_answer_is_refused() -> None:
    box = Box()
    Riddle(box)
    device = begin(box)
    device.send(auth(b"wrong"))
    assert reason_of(device.take()) == 0x86
    assert device.line.closed is not None
    assert box.hub.counters.unauthorized == 1


@pytest.mark.parametrize(
    ("error", "reason_code"),
    [
        (Refused(1001, "not today"), 0x87),
        (ChappeError(Code.PERMISSION_DENIED), 0x87),
        (ChappeError(Code.NOT_AVAILABLE), 0x88),
        (ValueError("a defect"), 0x80),
    ],
)
def test_what_a_method_raises_is_told(error: Exception, reason_code: int) -> None:
    box = Box()
    Riddle(box).error = error
    device = begin(box)
    reply(device)
    assert reason_of(device.take()) == reason_code
    assert len(box.take_errors()) == isinstance(error, ValueError)


def test_a_user_name_must_be_the_one_that_the_method_finds() -> None:
    box = Box()
    Riddle(box)
    for name, reason_code in (("eve", 0x87), ("ada", 0)):
        device = begin(box, user_name=name)
        reply(device)
        assert reason_of(device.take()) == reason_code


@pytest.mark.parametrize(
    "packet",
    [
        Pingreq(),
        Publish("open/a", b"x"),
        Subscribe(1, (SubscribeFilter("open/a"),)),
        auth(b"", CONTINUE, "OTHER"),
        auth(b"", AGAIN),
        Connect("c"),
    ],
)
def test_nothing_but_its_answer_may_come_before_connack(packet: Packet) -> None:
    box = Box()
    riddle = Riddle(box)
    device = begin(box)
    device.take()
    device.send(packet)
    assert reason_of(device.take()) == 0x82
    box.settle()
    assert riddle.ends == ["the client has left"]
    assert box.memory.sequence == 0


def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    box = Box()
    Riddle(box)
    device = let_in(box)
    device.send(auth(b""))
    assert reason_of(device.take()) == 0x82


def test_a_client_may_leave_instead() -> None:
    box = Box()
    riddle = Riddle(box)
    device = begin(box)
    device.take()
    device.goodbye()
    assert device.take() == []
    assert device.line.closed is not None
    assert riddle.ends == ["the client has left"]


def test_a_lost_connection_ends_the_method() -> None:
    box = Box()
    riddle = Riddle(box)
    begin(box).cut()
    assert riddle.ends == ["the client has left"]
    assert not box.hub.sessions


def test_a_client_that_does_not_answer_is_cut_after_the_time_for_handshakes() -> None:
    box = Box()
    riddle = Riddle(box)
    device = begin(box)
    device.take()
    box.clock.advance(box.limits.handshake_timeout_s)
    box.settle()
    assert reason_of(device.take()) == 0x87
    assert riddle.ends == ["the client has left"]
    assert box.service.metrics()["chappe_mqtt_auth_timeouts_total"] == 1


def test_a_method_asks_one_question_at_a_time() -> None:
    box = Box()
    found: list[Exchange] = []

    async def method(exchange: Exchange) -> Claims:
        found.append(exchange)
        await Gate()
        return Claims(user="ada")

    box.service.methods["RIDDLE"] = method
    device = begin(box)
    answers: list[bytes | ChappeError | None] = []
    found[0].ask(b"1", lambda data, error: answers.append(error or data))
    with pytest.raises(LocalProtocolError):
        found[0].ask(b"2", lambda data, error: answers.append(error or data))
    device.cut()
    found[0].ask(b"3", lambda data, error: answers.append(error or data))
    assert [getattr(each, "reason", each) for each in answers] == ["the client has left"] * 2


# --- Again -----------------------------------------------------------------------------------------------------------


def test_a_connected_client_authenticates_again_while_it_goes_on() -> None:
    box = Box()
    riddle = Riddle(box)
    device = let_in(box)
    riddle.claims = Claims(user="ada", scopes=frozenset({"operator"}))
    device.send(auth(b"again", AGAIN))
    (asked,) = device.take()
    assert isinstance(asked, Auth)
    device.send(Pingreq())
    assert isinstance(device.take()[0], Pingresp)
    device.send(auth((asked.properties.authentication_data or b"")[::-1]))
    (done,) = device.take()
    assert done == Auth(0, AuthProperties("RIDDLE", b"welcome"))
    assert riddle.again == [False, True]
    assert device.mqtt.session.actor.claims.scopes == {"operator"}


@pytest.mark.parametrize("user", ["eve", None])
def test_who_is_another_afterwards_is_cut(user: str | None) -> None:
    box = Box()
    riddle = Riddle(box)
    device = let_in(box)
    riddle.claims = Claims(user=user)
    device.send(auth(b"again", AGAIN))
    reply(device)
    assert reason_of(device.take()) == 0x87
    assert device.line.closed is not None


def test_who_fails_afterwards_is_cut_and_its_will_is_said() -> None:
    box = Box()
    riddle = Riddle(box)
    other = box.joined("other")
    other.subscribe("open/will")
    device = Device(box, V5)
    asked = ConnectProperties(authentication_method="RIDDLE")
    device.send(Connect("c", V5, True, properties=asked, will=packets.Will("open/will", b"gone")))
    reply(device)
    device.take()
    device.send(auth(b"again", AGAIN))
    device.send(auth(b"wrong"))
    assert reason_of(device.take()) == 0x87
    assert other.payloads() == [b"gone"]
    assert riddle.ends == ["known", "a wrong answer"]
    assert box.hub.counters.protocol_errors == 0


def test_an_end_that_passed_already_is_refused_again() -> None:
    box = Box()
    riddle = Riddle(box)
    device = let_in(box)
    riddle.claims = Claims(user="ada", expires_at=1.0)
    device.send(auth(b"again", AGAIN))
    reply(device)
    assert reason_of(device.take()) == 0x87


@pytest.mark.parametrize("packet", [auth(b"", AGAIN, "OTHER"), auth(b"", CONTINUE), Auth(0, AuthProperties("RIDDLE"))])
def test_only_the_method_of_connect_may_begin_again(packet: Packet) -> None:
    box = Box()
    Riddle(box)
    device = let_in(box)
    device.send(packet)
    assert reason_of(device.take()) == 0x82


def test_who_does_not_answer_again_is_cut_after_the_time_for_handshakes() -> None:
    box = Box()
    Riddle(box)
    device = let_in(box)
    device.send(auth(b"again", AGAIN))
    device.take()
    box.clock.advance(box.limits.handshake_timeout_s)
    box.settle()
    assert reason_of(device.take()) == 0x87
