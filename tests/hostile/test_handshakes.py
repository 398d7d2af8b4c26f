"""Hostile handshakes: each has its status, none harms a client beside it."""

import asyncio
from typing import Final

import pytest

from tests.hostile.neighbourhood import Place, healthy_neighbour, served

KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
HELLO: Final = bytes.fromhex("818537fa213d7f9f4d5158")


def upgrade(
    path: str = "/ws",
    *more: str,
    method: str = "GET",
    version: str = "HTTP/1.1",
    without: str = "",
    tail: bytes = b"",
    **changed: str,
) -> bytes:
    """Return a handshake: a right one but for what is said; PORT stands for the server's port."""
    fields = {
        "Host": "127.0.0.1:PORT",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    fields.pop(without, None)
    fields |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in fields.items()), *more]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + tail


def origin(value: str) -> bytes:
    return upgrade("/ws", f"Origin: {value}")


REFUSED: dict[str, tuple[bytes, int]] = {
    "no key": (upgrade(without="Sec-WebSocket-Key"), 400),
    "an empty key": (upgrade(Sec_WebSocket_Key=""), 400),
    "a key of 15 bytes": (upgrade(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub24="), 400),
    "a key of 17 bytes": (upgrade(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZWU="), 400),
    "a key without padding": (upgrade(Sec_WebSocket_Key=KEY.rstrip("=")), 400),
    "a key that is no base64": (upgrade(Sec_WebSocket_Key="*" * 24), 400),
    "a key with bytes over 127": (upgrade(Sec_WebSocket_Key="é" * 24), 400),
    "two keys": (upgrade("/ws", f"Sec-WebSocket-Key: {KEY}"), 400),
    "version 8": (upgrade(Sec_WebSocket_Version="8"), 426),
    "version 0": (upgrade(Sec_WebSocket_Version="0"), 426),
    "version 13, 8": (upgrade(Sec_WebSocket_Version="13, 8"), 426),
    "version 013": (upgrade(Sec_WebSocket_Version="013"), 426),
    "no version": (upgrade(without="Sec-WebSocket-Version"), 426),
    "two versions": (upgrade("/ws", "Sec-WebSocket-Version: 13"), 400),
    "a body": (upgrade("/ws", "Content-Length: 5", tail=b"hello"), 400),
    "a body that is frames": (upgrade("/ws", f"Content-Length: {len(HELLO)}", tail=HELLO), 400),
    "a body that never comes": (upgrade("/ws", "Content-Length: 5"), 400),
    "a chunked body": (upgrade("/ws", "Transfer-Encoding: chunked", tail=b"0\r\n\r\n"), 400),
    "a length and chunks": (upgrade("/ws", "Content-Length: 0", "Transfer-Encoding: chunked"), 400),
    "two lengths": (upgrade("/ws", "Content-Length: 1", "Content-Length: 2"), 400),
    "a length of 00": (upgrade("/ws", "Content-Length: 00"), 400),
    "a length of +0": (upgrade("/ws", "Content-Length: +0"), 400),
    "a length of -1": (upgrade("/ws", "Content-Length: -1"), 400),
    "a length of 2^70": (upgrade("/ws", f"Content-Length: {2**70}"), 400),
    "POST": (upgrade(method="POST"), 405),
    "PUT": (upgrade(method="PUT"), 405),
    "HEAD": (upgrade(method="HEAD"), 405),
    "OPTIONS": (upgrade(method="OPTIONS"), 405),
    "a method nobody knows": (upgrade(method="FROB"), 400),
    "HTTP/1.0": (upgrade(version="HTTP/1.0"), 400),
    "HTTP/2.0 in the line": (upgrade(version="HTTP/2.0"), 400),
    "http/1.1 in small letters": (upgrade(version="http/1.1"), 400),
    "no Host": (upgrade(without="Host"), 400),
    "an empty Host": (upgrade(Host=""), 400),
    "two Hosts": (upgrade("/ws", "Host: 127.0.0.1"), 400),
    "a foreign Host": (upgrade(Host="evil.example"), 421),
    "a Host that begins like ours": (upgrade(Host="127.0.0.1.evil.example"), 421),
    "a Host with a user": (upgrade(Host="evil@127.0.0.1"), 421),
    "a Host with a comma": (upgrade(Host="127.0.0.1, evil.example"), 421),
    "a Host with an open bracket": (upgrade(Host="["), 421),
    "a foreign host in the line": (upgrade("http://evil.example/ws"), 400),
    "a malformed URL": (upgrade("http://["), 400),
    "Origin null": (origin("null"), 403),
    "an empty Origin": (origin(""), 403),
    "a foreign Origin": (origin("http://evil.example"), 403),
    "another port": (origin("http://127.0.0.1:1"), 403),
    "an Origin that begins like ours": (origin("http://127.0.0.1:PORT.evil.example"), 403),
    "an Origin with a user like ours": (origin("http://127.0.0.1:PORT@evil.example"), 403),
    "an Origin with a path": (origin("http://127.0.0.1:PORT/x"), 403),
    "an Origin with our host as path": (origin("http://evil.example/127.0.0.1:PORT"), 403),
    "Origin file://": (origin("file://"), 403),
    "Origin javascript:1": (origin("javascript:1"), 403),
    "an Origin with an open bracket": (origin("http://["), 403),
    "an Origin with half an IPv6 address": (origin("http://[::1"), 403),
    "an Origin with port 99999999": (origin("http://127.0.0.1:99999999"), 403),
    "two Origins": (upgrade("/ws", "Origin: http://127.0.0.1:PORT", "Origin: http://127.0.0.1:PORT"), 400),
    "a head of 17,000 bytes": (upgrade("/ws", "X: " + "a" * 17_000), 431),
    "a head of 20,000 bytes without an end": (b"GET /ws HTTP/1.1\r\nX: " + b"a" * 20_000, 431),
    "a line of 17,000 bytes": (upgrade("/ws?" + "a" * 17_000), 431),
    "120 headers": (upgrade("/ws", *(f"X{number}: 1" for number in range(120))), 400),
    "200 parameters": (upgrade("/ws?" + "&".join(["a=1"] * 200)), 400),
    "a folded header": (upgrade("/ws", "X: a\r\n b"), 400),
    "a folded version": (upgrade(Sec_WebSocket_Version="13\r\n 8"), 400),
    "a header without a colon": (upgrade("/ws", "garbage"), 400),
    "a header without a name": (upgrade("/ws", ": a"), 400),
    "a space before the colon": (upgrade("/ws", "X : a"), 400),
    "NUL in a value": (upgrade("/ws", "X: a\0b"), 400),
    "NUL in a name": (upgrade("/ws", "X\0: a"), 400),
    "a control character in a value": (upgrade("/ws", "X: a\x01b"), 400),
    "a smuggled Host": (upgrade("/ws", "X: a\nHost: evil.example"), 400),
    "line ends of LF": (upgrade().replace(b"\r\n", b"\n"), 400),
    "line ends of CR": (upgrade().replace(b"\r\n", b"\r"), 400),
    "an unknown subprotocol": (upgrade("/ws", "Sec-WebSocket-Protocol: soap"), 400),
    "a subprotocol in capitals": (upgrade("/ws", "Sec-WebSocket-Protocol: CHAPPE.V1"), 400),
    "a subprotocol with a space": (upgrade("/ws", "Sec-WebSocket-Protocol: chappe .v1"), 400),
    "a path with no WebSocket": (upgrade("/nope"), 404),
    "a path in capitals": (upgrade("/WS"), 404),
    "a path with two slashes": (upgrade("//ws"), 404),
    "a path that climbs": (upgrade("/../ws"), 404),
    "a path with NUL": (upgrade("/ws%00"), 404),
    "a path that is no UTF-8": (upgrade("/ws%ff"), 404),
    "a path of *": (upgrade("*"), 404),
    "an upgrade to h2c": (upgrade(Upgrade="h2c"), 404),
    "random bytes": (b"\x00\x01\x02\x03" * 10, 400),
    "a TLS hello": (bytes.fromhex("16030100a5010000a10303") + b"\0" * 160, 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 20, 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_handshake_is_refused_with_a_status_and_nobody_notices(place: Place, name: str) -> None:
    request, status = REFUSED[name]
    async with healthy_neighbour(place):
        # An upgrade that is none of ours is an ordinary request, after which the connection stays.
        answer = await place.send(request, b"not found\n" if "h2c" in name else None)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    if status == 426:
        assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer


ACCEPTED: dict[str, bytes] = {
    "an Origin of our own": upgrade("/echo", "Origin: http://127.0.0.1:PORT", tail=HELLO),
    "no Origin": upgrade("/echo", tail=HELLO),
    "Connection: keep-alive, Upgrade": upgrade("/echo", Connection="keep-alive, Upgrade", tail=HELLO),
    "Upgrade: WebSocket, h2c": upgrade("/echo", Upgrade="WebSocket, h2c", tail=HELLO),
    "a length of 0": upgrade("/echo", "Content-Length: 0", tail=HELLO),
    "an offer of extensions": upgrade(
        "/echo", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99", tail=HELLO
    ),
    "an Accept-Language of 1,000 ranges": upgrade("/echo", "Accept-Language: " + ",".join(["fr"] * 1_000), tail=HELLO),
    "a token nobody asked for": upgrade("/echo", "Authorization: Basic x", tail=HELLO),
    "empty lines in front": b"\r\n\r\n" + upgrade("/echo", tail=HELLO),
    "empty offers": upgrade("/echo", "Sec-WebSocket-Protocol: ,,,", tail=HELLO),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_ws_2_what_is_odd_but_right_is_served_with_the_frames_behind_its_head(place: Place, name: str) -> None:
    async with healthy_neighbour(place):
        answer = await place.send(ACCEPTED[name], b"Hello")
    head, _, frames = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Extensions" not in head
    assert frames == b"\x81\x05Hello"


@pytest.mark.parametrize("first", [b"GET /healthz HTTP/1.1\r\n", b"POST /healthz HTTP/1.1\r\nContent-Length: 3\r\n"])
async def test_ws_1_no_answer_of_http_is_written_between_frames(place: Place, first: bytes) -> None:
    # Found by this test: the upgrade was answered first, and then came "Hello" and behind it "HTTP/1.1 200 OK".
    body = b"abc" if b"POST" in first else b""
    async with healthy_neighbour(place):
        answer = await place.send(first + b"Host: 127.0.0.1\r\n\r\n" + body + upgrade("/echo", tail=HELLO))
    assert b"101 Switching" not in answer


@pytest.mark.slow
async def test_ws_1_a_head_that_does_not_end_is_408_and_silence_is_closed_without_a_word() -> None:
    with served(server__head_timeout_s=0.3) as impatient:
        async with healthy_neighbour(impatient):
            pieces = [b"G", b"GET /ws HTTP/1.1\r\n", upgrade()[:-2]]
            for answer in await asyncio.gather(*map(impatient.send, pieces)):
                assert answer.startswith(b"HTTP/1.1 408 ")
            assert await impatient.send(b"") == b""


@pytest.mark.slow
async def test_ws_1_a_head_that_drips_is_408_all_the_same() -> None:
    with served(server__head_timeout_s=0.3) as impatient:
        async with healthy_neighbour(impatient):
            reader, writer = await impatient.open()
            answer = asyncio.ensure_future(reader.read(12))
            for byte in upgrade():
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)
            assert await answer == b"HTTP/1.1 408"
            writer.close()


async def test_two_hundred_connections_that_say_nothing_leave_room_for_others(place: Place) -> None:
    async with healthy_neighbour(place):
        idle = [await place.open() for _ in range(200)]
        try:
            assert (await place.send(upgrade("/echo", tail=HELLO), b"Hello")).endswith(b"Hello")
        finally:
            for _, writer in idle:
                writer.close()
