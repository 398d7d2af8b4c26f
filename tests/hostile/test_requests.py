"""Hostile HTTP: heads, paths, bodies, streams, tokens and what proxies say; a status each, and no neighbour notices."""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.hostile.neighbourhood import Place, healthy_neighbour, served
from tests.hostile.requests import chunked, get, post, request, status_of

PUBLISH: Final = '{"channel":"hostile","data":1}'

#: What two programs could read differently, or one could read without end.
HEADS: dict[str, tuple[bytes, int]] = {
    "a length and chunks": (chunked("/api/publish", b"0\r\n\r\n", "Content-Length: 5"), 400),
    "two lengths": (request("POST /api/publish", "Content-Length: 1", "Content-Length: 2", body=b"{}"), 400),
    "two equal lengths": (request("POST /api/publish", "Content-Length: 2", "Content-Length: 2", body=b"{}"), 400),
    "two lengths in one field": (request("POST /api/publish", "Content-Length: 2, 2", body=b"{}"), 400),
    "a length of +2": (request("POST /api/publish", "Content-Length: +2", body=b"{}"), 400),
    "a length of 0x2": (request("POST /api/publish", "Content-Length: 0x2", body=b"{}"), 400),
    "a length of 1_0": (request("POST /api/publish", "Content-Length: 1_0", body=b"0123456789"), 400),
    "a length of -1": (request("POST /api/publish", "Content-Length: -1"), 400),
    "a length of nothing": (request("POST /api/publish", "Content-Length: "), 400),
    "a length of 2^70": (request("POST /api/publish", f"Content-Length: {2**70}"), 400),
    "a length in Arabic digits": (request("POST /api/publish", "Content-Length: \xd9\xa2"), 400),
    "chunks that are identity": (request("POST /api/publish", "Transfer-Encoding: identity", body=b"{}"), 400),
    "chunks twice": (request("POST /api/publish", "Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), 400),
    "chunks not at the end": (request("POST /api/publish", "Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), 400),
    "chunks with a vertical tab": (request("POST /api/publish", "Transfer-Encoding: \x0bchunked"), 400),
    "chunks in a quoted word": (request("POST /api/publish", 'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), 400),
    "a space before the colon": (request("POST /api/publish", "Content-Length : 2", body=b"{}"), 400),
    "a folded length": (request("POST /api/publish", "Content-Length:\r\n 2", body=b"{}"), 400),
    "a chunk size of -1": (chunked("/api/publish", b"-1\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk size of 0x2": (chunked("/api/publish", b"0x2\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk size of 2^68": (chunked("/api/publish", b"1" + b"0" * 17 + b"\r\n{}"), 400),
    "a chunk size of nothing": (chunked("/api/publish", b"\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk longer than it says": (chunked("/api/publish", b"1\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk that ends with LF": (chunked("/api/publish", b"2\n{}\n0\n\n"), 400),
    "a chunk extension of 20 KB": (chunked("/api/publish", b"2;x=" + b"a" * 20_000 + b"\r\n{}\r\n0\r\n\r\n"), 400),
    "trailers of 20 KB": (chunked("/api/publish", b"2\r\n{}\r\n0\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"), 400),
    "a method of 100 letters": (request("A" * 100 + " /"), 400),
    "CONNECT": (request("CONNECT evil.example:443"), 400),
    "TRACE": (request("TRACE /api/publish"), 405),
    "a line of one word": (b"GET\r\n\r\n", 400),
    "a line with two spaces": (b"GET  / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 200),
    "a line with a tab": (b"GET\t/\tHTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: 127.0.0.1\r\n\r\n", 400),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n", 400),
    "a NUL in the path": (request("GET /\0"), 400),
    "no Host": (b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "two Hosts": (get("/version", "Host: evil.example"), 400),
    "a foreign Host": (request("GET /version", host="evil.example"), 421),
    "a Host with a port of letters": (request("GET /version", host="127.0.0.1:abc"), 421),
    "a Host of 8 KB": (request("GET /version", host="a" * 8_000), 421),
    "a host in the line and another below": (request("GET http://evil.example/version"), 400),
    "101 fields": (get("/version", *(f"X{number}: 1" for number in range(101))), 400),
    "a field of 17 KB": (get("/version", "X: " + "a" * 17_000), 431),
    "a cookie of 17 KB": (get("/version", "Cookie: " + "a" * 17_000), 431),
    "17 KB of field names": (get("/version", *("a" * 200 + f"{number}: 1" for number in range(90))), 431),
    "an answer in a header": (get("/version", "X: a\r\rHTTP/1.1 200 OK"), 400),
    "Expect: nonsense": (post("/api/publish", PUBLISH, "Expect: nonsense"), 200),
    "an upgrade to h2c with settings": (get("/version", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), 200),
}

#: Paths of files, and paths that want to be.
PATHS: dict[str, tuple[bytes, int]] = {
    "two dots": (get("/../../etc/passwd"), 404),
    "two dots, encoded": (get("/%2e%2e/%2e%2e/etc/passwd"), 404),
    "two dots, encoded twice": (get("/%252e%252e/etc/passwd"), 404),
    "two dots behind a folder": (get("/assets/../../settings.py"), 404),
    "a slash, encoded": (get("/assets%2f..%2f..%2fpages.py"), 404),
    "backslashes": (get("/assets\\..\\..\\pages.py"), 404),
    "backslashes, encoded": (get("/assets%5c..%5c..%5cpages.py"), 404),
    "an overlong dot": (get("/%c0%ae%c0%ae/etc/passwd"), 404),
    "NUL, encoded": (get("/index.html%00.png"), 404),
    "a leading dot": (get("/.built"), 404),
    "a leading dot in a folder": (get("/assets/.htaccess"), 404),
    "a drive": (get("/C:/windows/win.ini"), 404),
    "a stream of NTFS": (get("/index.html::$DATA"), 404),
    "a device": (get("/CON"), 404),
    "/proc": (get("//proc/self/environ"), 404),
    "a file URL": (request("GET file:///etc/passwd"), 400),
    "a segment of 8 KB": (get("/" + "a" * 8_000), 404),
    "4,000 segments": (get("/a" * 4_000), 404),
    "a tilde": (get("/index.html~"), 404),
    "the compressed twin": (get("/index.html.gz"), 200),
    "the source": (get("/pages.py"), 404),
    "a fragment": (get("/index.html#x"), 200),
    "a surrogate, encoded": (get("/%ed%a0%80"), 404),
    "a percent sign alone": (get("/%"), 404),
    "a template": (get("/{{7*7}}"), 404),
    "a script": (get("/<script>alert(1)</script>"), 404),
    "line ends, encoded": (get("/%0d%0aSet-Cookie:%20a=b"), 404),
    "a range of everything, 500 times": (get("/index.html", "Range: bytes=" + ",".join(["0-"] * 500)), 200),
    "a tag of 8 KB": (get("/index.html", "If-None-Match: " + '"a",' * 2_000), 200),
    "an encoding nobody has": (get("/index.html", "Accept-Encoding: " + "gzip;q=0," * 500), 200),
    "POST to a file": (post("/index.html", "{}"), 405),
    "DELETE of a file": (request("DELETE /index.html"), 405),
}

#: Bodies of the API.
BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (post("/api/publish", ""), 400),
    "a NUL": (post("/api/publish", "\0"), 400),
    "null": (post("/api/publish", "null"), 400),
    "a number": (post("/api/publish", "1"), 400),
    "a list": (post("/api/publish", "[]"), 400),
    "an empty object": (post("/api/publish", "{}"), 400),
    "half an object": (post("/api/publish", '{"channel":"a"'), 400),
    "two objects": (post("/api/publish", PUBLISH * 2), 400),
    "a comma too many": (post("/api/publish", '{"channel":"a","data":1,}'), 400),
    "a comment": (post("/api/publish", '{"channel":"a",/**/"data":1}'), 400),
    "single quotes": (post("/api/publish", "{'channel':'a','data':1}"), 400),
    "a byte order mark": (post("/api/publish", "\ufeff" + PUBLISH), 400),
    "UTF-16": (post("/api/publish", PUBLISH.encode("utf-16")), 400),
    "no UTF-8": (post("/api/publish", b'{"channel":"\xff","data":1}'), 400),
    "a surrogate": (post("/api/publish", '{"channel":"a","data":"\ud800"}'), 400),
    "half an escaped surrogate": (post("/api/publish", '{"channel":"\\ud800","data":1}'), 400),
    "NaN": (post("/api/publish", '{"channel":"a","data":NaN}'), 400),
    "1e999": (post("/api/publish", '{"channel":"a","data":1e999}'), 400),
    "a number of 100,000 digits": (post("/api/publish", '{"channel":"a","expect":' + "9" * 50_000 + "}"), 400),
    "a channel that is a number": (post("/api/publish", '{"channel":1,"data":1}'), 400),
    "a channel that is a list": (post("/api/publish", '{"channel":["a"],"data":1}'), 400),
    "a channel with NUL": (post("/api/publish", '{"channel":"a\\u0000b","data":1}'), 400),
    "a channel of 256 bytes": (post("/api/publish", json.dumps({"channel": "x" * 256, "data": 1})), 400),
    "a pattern": (post("/api/publish", '{"channel":"a/#","data":1}'), 400),
    "a member nobody knows": (post("/api/publish", '{"channel":"a","data":1,"admin":true}'), 400),
    "__proto__": (post("/api/publish", '{"channel":"a","data":1,"__proto__":{"admin":true}}'), 400),
    "depth 10,000": (post("/api/publish", '{"channel":"a","data":' + "[" * 10_000 + "]" * 10_000 + "}"), 400),
    "depth 10,000 without an end": (post("/api/publish", '{"channel":"a","data":' + "[" * 10_000), 400),
    "10,000 members": (
        post("/api/publish", json.dumps({"channel": "a", "data": {str(n): 1 for n in range(5_000)}})),
        400,
    ),
    "data of 65,537 bytes": (post("/api/publish", json.dumps({"channel": "a", "data": "x" * 65_537})), 413),
    "2 MiB": (post("/api/publish", b" " * 2_097_152), 413),
    "2 MiB announced": (request("POST /api/publish", "Content-Length: 2097152"), 413),
    "2 MiB in chunks": (chunked("/api/publish", (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 32), 413),
    "gzip": (post("/api/publish", b"\x1f\x8b" + bytes(100), "Content-Encoding: gzip"), 400),
    "a form": (post("/api/publish", "channel=a&data=1", kind="application/x-www-form-urlencoded"), 400),
    "parts": (post("/api/publish", "--x--", kind="multipart/form-data; boundary=x"), 400),
    "plain text, as a page of another site would": (
        post("/api/publish", PUBLISH, "Origin: http://evil.example", kind="text/plain"),
        403,
    ),
    "an operation nobody has": (post("/api/shutdown", "{}"), 404),
    "an operation with two dots": (post("/api/../api/publish", PUBLISH), 404),
    "an operation in capitals": (post("/api/PUBLISH", PUBLISH), 404),
    "PUT": (request("PUT /api/publish", "Content-Length: 0"), 405),
    "a batch of itself": (post("/api/batch", '{"commands":[{"batch":{"commands":[]}}]}'), 200),
    "a key of 129 characters": (
        post("/api/publish", json.dumps({"channel": "a", "data": 1, "key": "k" * 129})),
        400,
    ),
    "a limit of a million": (post("/api/history", '{"channel":"a","limit":1000000}'), 400),
    "a limit below zero": (post("/api/history", '{"channel":"a","limit":-1}'), 400),
    "101 parameters": (get("/api/history?" + "&".join(["a=1"] * 101)), 400),
    "a parameter twice": (get("/api/history?channel=a&channel=b"), 400),
}

#: Streams of events.
STREAMS: dict[str, tuple[bytes, int]] = {
    "no channel": (get("/events"), 200),
    "an empty channel": (get("/events?channel="), 400),
    "a channel with NUL": (get("/events?channel=a%00b"), 400),
    "a channel that is no UTF-8": (get("/events?channel=%ff%fe"), 200),
    "a channel of 256 bytes": (get("/events?channel=" + "x" * 256), 400),
    "100 channels": (get("/events?" + "&".join(f"channel=a{number}" for number in range(100))), 200),
    "1,000 channels": (get("/events?" + "&".join(f"channel={number}" for number in range(1_000))), 400),
    "the hub's own channel": (get("/events?channel=$hub/x"), 403),
    "another user's channel": (get("/events?channel=$user/ada"), 403),
    "a pattern over the hub's own channels": (get("/events?channel=$hub/%23"), 403),
    "a wildcard within a segment": (get("/events?channel=a%2B/b"), 400),
    "a since of nonsense": (get("/events?channel=a&since=yesterday"), 400),
    "a since below zero": (get("/events?channel=a&since=-1"), 400),
    "a cursor of nonsense": (get("/events?channel=a", "Last-Event-ID: ../../etc/passwd"), 200),
    "a cursor of 8 KB": (get("/events?channel=a", "Last-Event-ID: " + "9" * 8_000), 200),
    "a cursor with a line end": (get("/events?channel=a&last_event_id=a%0d%0ab"), 200),
    "two cursors": (get("/events?channel=a&last_event_id=a", "Last-Event-ID: b"), 200),
    "Origin null": (get("/events?channel=a", "Origin: null"), 403),
    "a foreign Origin": (get("/events?channel=a", "Origin: http://evil.example"), 403),
    "two Origins": (get("/events?channel=a", "Origin: http://a", "Origin: http://b"), 400),
    "a token that is none": (get("/events?channel=a", "Authorization: Bearer x.y.z"), 401),
    "POST": (post("/events?channel=a", "{}"), 405),
    "an Accept that excludes it": (get("/events?channel=a", "Accept: application/json"), 200),
    "a session nobody has": (get("/events?channel=a&session=" + "0" * 32), 404),
}


def jwt(head: object, claims: object, signature: bytes = b"x" * 32) -> str:
    """Return a token that nobody signed."""
    parts = [json.dumps(head).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def bearing(token: str) -> bytes:
    return post("/api/publish", PUBLISH, f"Authorization: Bearer {token}")


CLAIMS: Final = {"sub": "ada", "aud": "chappe", "exp": 4_000_000_000, "scope": "api"}
#: Credentials for the API of a hub that wants some.
TOKENS: dict[str, bytes] = {
    "nothing": post("/api/publish", PUBLISH),
    "an empty header": post("/api/publish", PUBLISH, "Authorization: "),
    "no scheme": post("/api/publish", PUBLISH, "Authorization: secret"),
    "another scheme": post("/api/publish", PUBLISH, "Authorization: Basic YWRtaW46YWRtaW4="),
    "Bearer and nothing": post("/api/publish", PUBLISH, "Authorization: Bearer "),
    "Bearer and spaces": post("/api/publish", PUBLISH, "Authorization: Bearer    "),
    "two tokens": bearing("a b"),
    "NUL, encoded": bearing("%00"),
    "bytes over 127": bearing("é" * 40),
    "8 KB": bearing("a" * 8_000),
    "8 KB of dots": bearing("." * 8_000),
    "three empty parts": bearing(".."),
    "alg none": bearing(jwt({"alg": "none"}, CLAIMS, b"")),
    "alg nOnE": bearing(jwt({"alg": "nOnE"}, CLAIMS, b"")),
    "alg that is a list": bearing(jwt({"alg": ["HS256"]}, CLAIMS)),
    "alg of null": bearing(jwt({"alg": None}, CLAIMS)),
    "no alg": bearing(jwt({}, CLAIMS)),
    "HS256 with another key": bearing(jwt({"alg": "HS256"}, CLAIMS)),
    "RS256 where HS256 is expected": bearing(jwt({"alg": "RS256"}, CLAIMS)),
    "a key of its own": bearing(jwt({"alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}}, CLAIMS)),
    "a key from elsewhere": bearing(jwt({"alg": "HS256", "jku": "http://127.0.0.1:1/keys"}, CLAIMS)),
    "a certificate from elsewhere": bearing(jwt({"alg": "HS256", "x5u": "http://127.0.0.1:1/c"}, CLAIMS)),
    "a key id that climbs": bearing(jwt({"alg": "HS256", "kid": "../../dev/null"}, CLAIMS)),
    "a key id that is a list": bearing(jwt({"alg": "HS256", "kid": [1]}, CLAIMS)),
    "an unknown crit": bearing(jwt({"alg": "HS256", "crit": ["x"]}, CLAIMS)),
    "b64 false": bearing(jwt({"alg": "HS256", "b64": False, "crit": ["b64"]}, CLAIMS)),
    "a head that is a list": bearing(jwt([], CLAIMS)),
    "claims that are a list": bearing(jwt({"alg": "HS256"}, [])),
    "an exp of 1e400": bearing(jwt({"alg": "HS256"}, {**CLAIMS, "exp": 10**300})),
    "a head of depth 1,000": bearing(
        base64.urlsafe_b64encode(b"[" * 1_000 + b"]" * 1_000).rstrip(b"=").decode() + ".e30.eA"
    ),
    "a key of the API that is none": bearing("chappe_" + "A" * 32),
    "a key in the query": post("/api/publish?key=chappe_x&token=x&access_token=x", PUBLISH),
    "a key in a cookie": post("/api/publish", PUBLISH, "Cookie: token=x; session=x"),
    "an identity from a proxy that is none": post("/api/publish", PUBLISH, "X-Forwarded-User: admin", "Remote-User: a"),
}

#: What a trusted proxy could be made to say.
PROXIES: dict[str, tuple[bytes, int]] = {
    "nothing behind the name": (get("/version", "X-Forwarded-For: "), 200),
    "commas": (get("/version", "X-Forwarded-For: " + "," * 4_000), 200),
    "no address": (get("/version", "X-Forwarded-For: evil"), 200),
    "a script": (get("/version", "X-Forwarded-For: <script>alert(1)</script>"), 200),
    "our own address": (get("/version", "X-Forwarded-For: 127.0.0.1"), 200),
    "1,000 of ours": (get("/version", "X-Forwarded-For: " + ",".join(["127.0.0.1"] * 1_000)), 200),
    "an address with a port": (get("/version", "X-Forwarded-For: 10.0.0.1:80"), 200),
    "half an IPv6 address": (get("/version", "X-Forwarded-For: [::1"), 200),
    "IPv6 with a zone": (get("/version", "X-Forwarded-For: fe80::1%eth0"), 200),
    "an IPv4 address in octal": (get("/version", "X-Forwarded-For: 0177.0.0.1"), 200),
    "bytes over 127": (get("/version", "X-Forwarded-For: \xff\xfe"), 200),
    "two headers": (get("/version", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.2"), 200),
    "Forwarded": (get("/version", "Forwarded: for=evil;proto=https;host=evil"), 200),
    "X-Forwarded-Host": (get("/version", "X-Forwarded-Host: evil.example"), 200),
    "X-Original-URL": (get("/version", "X-Original-URL: /api/shutdown", "X-Rewrite-URL: /x"), 200),
    "a scheme of nonsense": (get("/version", "X-Forwarded-Proto: gopher"), 200),
    "https for a page of http": (
        get("/events?channel=a", "X-Forwarded-Proto: https", "Origin: http://evil.example"),
        403,
    ),
    "an identity": (get("/api/connections", "X-Forwarded-User: admin", "X-Real-IP: 127.0.0.1"), 200),
    "the PROXY protocol": (b"PROXY TCP4 1.2.3.4 127.0.0.1 1 80\r\n" + get("/version"), 400),
    "the binary PROXY protocol": (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + get("/version"), 400),
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Serve a hub that wants credentials for its API."""
    secret = tmp_path_factory.mktemp("strict") / "hub.secret"
    secret.write_text("s" * 64)
    flags = {"auth__hmac_secret_file": str(secret), "auth__algorithms": ("HS256",), "auth__anonymous": True}
    rights = {"namespaces__default__subscribe": "anonymous", "namespaces__default__publish": "anonymous"}
    with served(server__dev=False, **flags, **rights) as found:
        yield found


@pytest.fixture(scope="module")
def behind_proxy() -> Iterator[Place]:
    """Serve a hub that believes this machine to be its proxy."""
    with served(server__trusted_proxies=("127.0.0.1",)) as found:
        yield found


async def expect(place: Place, data: bytes, status: int) -> bytes:
    """Send a request beside a healthy client and check the status of its answer."""
    async with healthy_neighbour(place):
        is_stream = status == 200 and b"/events" in data
        answer = await place.send(data, b"\r\n\r\n" if is_stream else None)
    assert status_of(answer) == status, answer[:400]
    return answer


@pytest.mark.parametrize("name", HEADS)
async def test_a_head_that_is_read_in_two_ways_is_refused(place: Place, name: str) -> None:
    await expect(place, *HEADS[name])


@pytest.mark.parametrize("name", PATHS)
async def test_no_path_leaves_the_folder(place: Place, name: str) -> None:
    answer = await expect(place, *PATHS[name])
    assert b"root:" not in answer
    assert b"Set-Cookie" not in answer
    assert b"alert(1)" not in answer


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_wrong_is_refused_with_a_problem(place: Place, name: str) -> None:
    answer = await expect(place, *BODIES[name])
    body = answer.partition(b"\r\n\r\n")[2]
    # A hub that closes what it did not read to the end resets the connection, and its last words may be lost.
    problem: dict[str, Any] = json.loads(body) if body else {"code": BODIES[name][1]}
    assert "code" in problem or "error" in problem["results"][0]


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_that_cannot_be_is_refused(place: Place, name: str) -> None:
    await expect(place, *STREAMS[name])


@pytest.mark.parametrize("name", TOKENS)
async def test_a_credential_that_is_none_is_401_and_is_not_repeated(strict: Place, name: str) -> None:
    answer = await expect(strict, TOKENS[name], 401)
    assert b"jku" not in answer


@pytest.mark.parametrize("name", PROXIES)
async def test_what_a_proxy_is_made_to_say_opens_nothing(behind_proxy: Place, name: str) -> None:
    await expect(behind_proxy, *PROXIES[name])
