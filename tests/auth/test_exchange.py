"""Services of the configuration: asked at their own address only, and in bounds of time and bytes."""

import gzip

import pytest

from chappe.auth.exchange import Service, Unreachable, check_url
from chappe.model.errors import ConfigurationError
from tests.auth.issuer import issuer


@pytest.mark.parametrize(
    "url", ["https://keys.example/jwks", "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:8080/x"]
)
def test_https_and_this_machine_may_be_asked(url: str) -> None:
    check_url("auth.jwks_url", url, insecure=False)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "no URL"),
        ("keys.example", "no URL"),
        ("file:///etc/passwd", "no URL"),
        ("ftp://keys.example/x", "no URL"),
        ("https://", "no URL"),
        ("https://keys.example:99999999/x", "no URL"),
        ("http://keys.example/x", "insecure_http"),
        ("http://10.0.0.1/x", "insecure_http"),
        ("http://169.254.169.254/latest", "insecure_http"),
        ("http://127.0.0.1.evil.example/x", "insecure_http"),
        ("https://ada:secret@keys.example/x", "logs would show"),
    ],
)
def test_any_other_address_stops_the_start(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        check_url("auth.jwks_url", url, insecure=False)
    assert "secret" not in caught.value.reason


def test_plain_http_is_allowed_by_its_own_setting() -> None:
    check_url("auth.jwks_url", "http://keys.example/x", insecure=True)


async def test_an_answer_is_its_status_and_its_body() -> None:
    async with issuer() as server:
        service = Service(server.url, answer_bytes=100, timeout_s=5)
        server.answer = {"a": 1}
        assert await service.ask("POST", {"token": "x"}) == (200, b'{"a": 1}')
        assert server.bodies == [b'{"token":"x"}']
        await service.close()


async def test_a_redirect_is_not_followed() -> None:
    async with issuer() as server, issuer() as other:
        service = Service(server.url, answer_bytes=100, timeout_s=5)
        server.answer = b"HTTP/1.1 302 Found\r\nLocation: " + other.url.encode() + b"\r\nContent-Length: 0\r\n\r\n"
        assert await service.ask("GET") == (302, b"")
        assert other.requests == []
        await service.close()


BOMB = gzip.compress(bytes(1_000_000))
ZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(BOMB), BOMB)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + bytes(101), "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + bytes(101), "more than 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + bytes(65_535), "more than 100 bytes"),
        (ZIPPED, "compressed"),
        (b"garbage\r\n\r\n", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", "Error"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_none(answer: bytes, why: str) -> None:
    async with issuer() as server:
        service = Service(server.url, answer_bytes=100, timeout_s=5)
        server.answer = answer
        with pytest.raises(Unreachable, match=why):
            await service.ask("GET")
        await service.close()


@pytest.mark.slow
async def test_a_server_that_is_silent_or_drips_has_the_time_that_it_has() -> None:
    async with issuer() as server:
        service = Service(server.url, answer_bytes=10_000, timeout_s=0.2)
        server.drip = True
        server.answer = {"keys": "x" * 5_000}
        with pytest.raises(Unreachable, match="no answer within"):
            await service.ask("GET")
        server.hold.clear()
        with pytest.raises(Unreachable, match="no answer within"):
            await service.ask("GET")
        await service.close()


async def test_nobody_there_is_no_answer() -> None:
    async with issuer() as server:
        url = server.url
    service = Service(url, answer_bytes=10, timeout_s=5)
    with pytest.raises(Unreachable, match="ConnectError"):
        await service.ask("GET")
    await service.close()
