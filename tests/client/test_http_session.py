"""Requests of one session: what is repeated, what is heeded, and what is its end."""

import pytest

from chappe.client.errors import ConnectionLost
from chappe.client.http_session import HttpSession
from chappe.client.options import Settings
from chappe.client.polling import begin
from tests.client.scripted_http import BEGUN, LOST, ScriptedHttp, ok, scripted_http, status


def settings(http: ScriptedHttp, max_message_bytes: int = 10_000) -> Settings:
    return Settings(url=f"{http.url}?lang=fr", reconnect_interval_ms=1, max_message_bytes=max_message_bytes)


async def begun(http: ScriptedHttp) -> HttpSession:
    session, _ = await begin(settings(http), 5)
    return session


@pytest.mark.parametrize(
    ("answer", "final", "told"),
    [
        (status(401, b'{"code":101,"detail":"who are you?"}'), True, "HTTP 401: who are you"),
        (status(404), True, "no long polling"),
        (status(302, b"", "Location: /login"), True, "no long polling: HTTP 302"),
        (status(503, b"", "Retry-After: 7"), False, "HTTP 503"),
        (ok(b"<html>welcome to our hotel</html>", "text/html"), False, "is no long polling"),
        (ok(b"{}"), False, "is no long polling"),
        (ok(b'{"messages":[]}'), False, "names no session"),
        (ok(b"\xff" * 10), False, "is no long polling"),
        (ok(b"x" * 20_000), True, "more than 10000 bytes"),
        (LOST, False, "cut the connection"),
    ],
)
async def test_a_beginning_that_fails_says_why(answer: bytes, final: bool, told: str) -> None:
    async with scripted_http() as http:
        http.answers["/poll"] = [answer]
        with pytest.raises(ConnectionLost, match=told) as caught:
            await begin(settings(http), 5)
        assert caught.value.final is final
        assert caught.value.retry_after_ms == (7_000 if b"Retry-After" in answer else 0)
        assert http.requests[0][0] == "GET /poll?lang=fr"


async def test_a_post_is_repeated_under_its_number_until_it_is_answered() -> None:
    async with scripted_http() as http:
        session = await begun(http)
        http.answers["/send"] = [LOST, status(502), ok(b'{"messages":[]}')]
        await session.post("[1]")
        await session.post("[2]")
        await session.end(goodbye=True)
        sent = [(target.partition("seq=")[2].partition("&")[0], body) for target, body in http.requests[1:-1]]
        assert sent == [("0", b"[1]"), ("0", b"[1]"), ("0", b"[1]"), ("1", b"[2]")]
        assert http.requests[-1][0].startswith("DELETE /poll?session=s1")


@pytest.mark.parametrize(
    ("answer", "code", "other_way"),
    [
        (status(401, b'{"code":109}'), 109, False),
        (status(403, b'{"code":103}'), 103, False),
        (status(429, b'{"code":3504}'), 3504, False),
        (status(503, b'{"code":108}'), 108, False),
        (status(403, b'{"code":7}'), 108, True),
        (status(403, b"<html>forbidden</html>", "Content-Type: text/html"), 108, True),
        (status(404, b'{"code":117}'), 108, True),
    ],
)
async def test_a_refusal_has_the_hubs_own_code_and_a_proxys_has_none(answer: bytes, code: int, other_way: bool) -> None:
    async with scripted_http() as http:
        http.answers["/poll"] = [answer]
        with pytest.raises(ConnectionLost) as caught:
            await begin(settings(http), 5)
        assert (caught.value.code, caught.value.close_code) == (code, 1006)
        assert caught.value.other_way is other_way


@pytest.mark.parametrize(
    ("answer", "code", "final"),
    [
        (status(410, b'{"code":3503,"detail":"go away"}'), 3503, True),
        (status(410, b'{"code":3001}'), 3001, False),
        (status(404, b'{"code":117}'), 1006, False),
        (status(401), 1006, True),
        (status(503, b"", "Retry-After: 60"), 1006, False),
        (LOST, 1006, False),
    ],
)
async def test_the_end_of_a_session_has_a_code(answer: bytes, code: int, final: bool) -> None:
    async with scripted_http() as http:
        session = await begun(http)
        http.answers["/poll"] = [answer]
        with pytest.raises(ConnectionLost) as caught:
            await session.poll("0", 5)
        assert (caught.value.close_code, caught.value.final) == (code, final)
        await session.end(goodbye=False)


async def test_headers_go_with_every_request() -> None:
    async with scripted_http() as http:
        http.answers["/poll"] = [ok(BEGUN)]
        session = HttpSession(Settings(url=http.url, headers={"Authorization": "Bearer t"}, origin="https://a"))
        await session.begin()
        await session.end(goodbye=False)
        assert session.shown == http.url.replace("ws://", "http://").removesuffix("ws")
