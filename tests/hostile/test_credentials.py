"""Hostile credentials of a hub that has the right keys: signed nonsense, tickets, cookies; a status each."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from chappe.hub.tickets import PREFIX
from chappe.transports.credentials import csrf_token
from tests.hostile.neighbourhood import Place, healthy_neighbour, served
from tests.hostile.requests import get, post, status_of

SECRET: Final = "0123456789abcdef" * 4
PAGE: Final = "https://app.example"
PUBLISH: Final = '{"channel":"hostile","data":1}'
#: Far enough for every run of these tests.
LATER: Final = 4_000_000_000
CLAIMS: Final[dict[str, Any]] = {"sub": "ada", "aud": "chappe", "exp": LATER, "scope": "api operator"}


def encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def signed(payload: bytes | str, head: bytes = b'{"alg":"HS256"}', hash_name: str = "sha256") -> str:
    """Return a token that the right key signed, whatever is in it."""
    body = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    text = encoded(head) + b"." + encoded(body)
    return (text + b"." + encoded(hmac.digest(SECRET.encode(), text, hash_name))).decode()


def saying(**claims: Any) -> str:
    """Return a signed token with other claims; None takes one away."""
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return signed(json.dumps(said))


def raw(name: str, value: str) -> str:
    """Return a signed token with a claim that JSON libraries would not write."""
    rest = json.dumps({key: each for key, each in CLAIMS.items() if key != name})
    return signed(f'{{"{name}":{value},{rest[1:]}')


GOOD: Final = signed(json.dumps(CLAIMS))
HEAD, BODY, SIGNATURE = GOOD.split(".")

#: Tokens of whoever has the key, which no hub may take at its word: each is 401.
SIGNED: dict[str, str] = {
    "no subject": saying(sub=None, scope=None),
    "a subject of nothing": saying(sub=""),
    "a subject that is a pattern": saying(sub="#"),
    "a subject with a plus": saying(sub="a+b"),
    "a subject with a slash": saying(sub="ada/inbox"),
    "a subject of 256 bytes": saying(sub="a" * 256),
    "a subject with a line end": saying(sub="ada\nroot"),
    "a subject of half a character": raw("sub", '"\\ud800"'),
    "a subject that is a list": saying(sub=["ada"]),
    "a subject that is a number": saying(sub=1),
    "a subject that comes twice": raw("sub", '"ada","sub":"eve"'),
    "a subject twice, once escaped": raw("sub", '"ada","s\\u0075b":"eve"'),
    "no exp": saying(exp=None),
    "exp of null": raw("exp", "null"),
    "exp of true": saying(exp=True),
    "exp in quotes": saying(exp=str(LATER)),
    "exp of NaN": raw("exp", "NaN"),
    "exp of Infinity": raw("exp", "Infinity"),
    "exp of 1e400": raw("exp", "1e400"),
    "exp of 30 digits": raw("exp", "9" * 30),
    "exp in the year 10000": saying(exp=253_402_300_800),
    "exp below 0": saying(exp=-1),
    "exp a minute ago": saying(exp=int(time.time()) - 60),
    "nbf in an hour": saying(nbf=int(time.time()) + 3_600),
    "nbf that is an object": saying(nbf={}),
    "iat in quotes": saying(iat="yesterday"),
    "no audience": saying(aud=None),
    "another audience": saying(aud="grafana"),
    "an audience that begins like ours": saying(aud="chappe.example"),
    "no audience in the list": saying(aud=[]),
    "an audience in a list in a list": saying(aud=[["chappe"]]),
    "an audience that is an object": saying(aud={"chappe": 1}),
    "a scope that is a number": saying(scope=1),
    "a scope of numbers": saying(scope=[1, 2]),
    "a token id that is a list": saying(jti=["1"]),
    "a token id of 256 bytes": saying(jti="a" * 256),
    "rights that are a list": saying(chappe=["#"]),
    "rights with a word that is misspelt": saying(chappe={"pubish": []}),
    "a right that is a text": saying(chappe={"publish": "#"}),
    "a right that is no pattern": saying(chappe={"publish": ["a#"]}),
    "a right with NUL": saying(chappe={"subscribe": ["a\0"]}),
    "rights that come twice": raw("chappe", '{"publish":[],"publish":["#"]}'),
    "info of depth 40": raw("chappe", '{"info":' + "[" * 40 + "]" * 40 + "}"),
    "1,001 claims": signed("{" + ",".join(f'"{number}":0' for number in range(1_001)) + "}"),
    "claims of depth 1,000": signed("[" * 1_000 + "]" * 1_000),
    "claims and more": signed(json.dumps(CLAIMS) + " {}"),
    "claims that are no UTF-8": signed(b'{"sub":"\xff"}'),
    "claims in UTF-16": signed(json.dumps(CLAIMS).encode("utf-16")),
    "claims of nothing": signed(b""),
    "HS512 where HS256 is expected": signed(json.dumps(CLAIMS), b'{"alg":"HS512"}', "sha512"),
    "alg that comes twice": signed(json.dumps(CLAIMS), b'{"alg":"none","alg":"HS256"}'),
    "an empty crit": signed(json.dumps(CLAIMS), b'{"alg":"HS256","crit":[]}'),
    "a head of 7 KB": signed(json.dumps(CLAIMS), b'{"alg":"HS256","x":"' + b"a" * 5_000 + b'","crit":["x"]}'),
    "its signature cut": GOOD[:-1],
    "its signature twice": GOOD + SIGNATURE,
    "no signature": f"{HEAD}.{BODY}.",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "five parts": f"{HEAD}.{HEAD}.{HEAD}.{BODY}.{SIGNATURE}",
    "another body": f"{HEAD}.{encoded(json.dumps(CLAIMS | {'sub': 'root'}).encode()).decode()}.{SIGNATURE}",
    "bits that belong to no byte": GOOD[:-1] + chr(ord(GOOD[-1]) + 1),
    "padding in the middle": f"{HEAD}=.{BODY}.{SIGNATURE}",
    "parts in another order": f"{BODY}.{HEAD}.{SIGNATURE}",
}

#: Tickets that nobody gave out: each is 401.
TICKETS: dict[str, bytes] = {
    "a ticket of nothing": get("/api/channels?ticket="),
    "the word alone": get(f"/api/channels?ticket={PREFIX}"),
    "a token in its place": get(f"/api/channels?ticket={GOOD}"),
    "a token behind the word": get(f"/api/channels?ticket={PREFIX}{GOOD}"),
    "a key in its place": get("/api/channels?ticket=chappe_" + "A" * 40),
    "random digits": get(f"/api/channels?ticket={PREFIX}node{'0' * 48}"),
    "a node that there is not": get(f"/api/channels?ticket={PREFIX}{'f' * 8}{'0' * 48}"),
    "a node of 7 KB": get(f"/api/channels?ticket={PREFIX}{'f' * 7_000}{'0' * 48}"),
    "NUL behind the word": get(f"/api/channels?ticket={PREFIX}%00"),
    "half a character": get(f"/api/channels?ticket={PREFIX}%ed%a0%80"),
    "a channel of the hub in it": get(f"/api/channels?ticket={PREFIX}$hub/all{'0' * 48}"),
    "in a header": get("/api/channels", f"Authorization: Bearer {PREFIX}{'0' * 56}"),
    "in a cookie": get("/api/channels", f"Origin: {PAGE}", f"Cookie: session={PREFIX}{'0' * 56}"),
    "for a stream": get(f"/events?channel=a&ticket={PREFIX}{'0' * 56}"),
    "for a ticket": post(f"/api/tickets?ticket={PREFIX}{'0' * 56}", "{}"),
    "a token in access_token": get(f"/api/channels?access_token={GOOD}"),
}

PROOF: Final = f"Chappe-CSRF: {csrf_token(GOOD)}"
FROM_PAGE: Final = f"Origin: {PAGE}"
COOKIE: Final = f"Cookie: session={GOOD}"
#: Cookies that prove nothing, with the status.
COOKIES: dict[str, tuple[bytes, int]] = {
    "no Origin": (get("/api/channels", COOKIE), 401),
    "Origin null": (get("/api/channels", COOKIE, "Origin: null"), 401),
    "a foreign Origin": (get("/api/channels", COOKIE, "Origin: https://evil.example"), 401),
    "an Origin that begins like ours": (get("/api/channels", COOKIE, f"Origin: {PAGE}.evil.example"), 401),
    "our Origin over http": (get("/api/channels", COOKIE, "Origin: http://app.example"), 401),
    "our Origin in capitals": (get("/api/channels", COOKIE, "Origin: https://APP.example"), 401),
    "our Origin and a path": (get("/api/channels", COOKIE, f"{FROM_PAGE}/"), 401),
    "two Origins": (get("/api/channels", COOKIE, FROM_PAGE, "Origin: https://evil.example"), 400),
    "a Referer in its place": (get("/api/channels", COOKIE, f"Referer: {PAGE}/"), 401),
    "two of one name": (get("/api/channels", FROM_PAGE, f"Cookie: session=x; session={GOOD}"), 401),
    "two of one name and value": (get("/api/channels", FROM_PAGE, f"{COOKIE}; session={GOOD}"), 401),
    "two headers": (get("/api/channels", FROM_PAGE, "Cookie: session=x", COOKIE), 401),
    "a name in capitals": (get("/api/channels", FROM_PAGE, f"Cookie: SESSION={GOOD}"), 401),
    "a name that ends like ours": (get("/api/channels", FROM_PAGE, f"Cookie: xsession={GOOD}"), 401),
    "a name with a prefix": (get("/api/channels", FROM_PAGE, f"Cookie: __Host-session={GOOD}"), 401),
    "commas": (get("/api/channels", FROM_PAGE, f"Cookie: a=1, session={GOOD}"), 401),
    "nothing behind the name": (get("/api/channels", FROM_PAGE, "Cookie: session="), 401),
    "4,000 semicolons": (get("/api/channels", FROM_PAGE, "Cookie: " + ";" * 4_000), 401),
    "3,000 names": (get("/api/channels", FROM_PAGE, "Cookie: " + "a=1;" * 3_000), 401),
    "bytes over 127": (get("/api/channels", FROM_PAGE, "Cookie: session=\xff\xfe"), 401),
    "no proof": (post("/api/publish", PUBLISH, FROM_PAGE, COOKIE), 401),
    "a proof of nothing": (post("/api/publish", PUBLISH, FROM_PAGE, COOKIE, "Chappe-CSRF: "), 401),
    "a proof of another token": (
        post("/api/publish", PUBLISH, FROM_PAGE, COOKIE, f"Chappe-CSRF: {csrf_token('x')}"),
        401,
    ),
    "the cookie as its proof": (post("/api/publish", PUBLISH, FROM_PAGE, COOKIE, f"Chappe-CSRF: {GOOD}"), 401),
    "half a proof": (post("/api/publish", PUBLISH, FROM_PAGE, COOKIE, PROOF[:-1]), 401),
    "a proof in the query": (
        post(f"/api/publish?Chappe-CSRF={csrf_token(GOOD)}", PUBLISH, FROM_PAGE, COOKIE),
        401,
    ),
    "a proof without an Origin": (post("/api/publish", PUBLISH, COOKIE, PROOF), 401),
    "a proof of bytes over 127": (post("/api/publish", PUBLISH, FROM_PAGE, COOKIE, "Chappe-CSRF: \xff"), 401),
    "a form": (
        post("/api/publish", "channel=a&data=1", FROM_PAGE, COOKIE, kind="application/x-www-form-urlencoded"),
        401,
    ),
    "Origin null, for a stream": (get("/events?channel=a", COOKIE, "Origin: null"), 403),
    "a foreign Origin, for a stream": (get("/events?channel=a", COOKIE, "Origin: https://evil.example"), 403),
    "a foreign Origin, for a poll": (get("/poll", COOKIE, "Origin: https://evil.example"), 403),
    "a foreign Origin, for a ticket": (post("/api/tickets", "{}", COOKIE, PROOF, "Origin: https://evil.example"), 403),
    "a ticket without a proof": (post("/api/tickets", "{}", FROM_PAGE, COOKIE), 401),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Serve a hub with the right key, a cookie and one listed page; its neighbour is anonymous."""
    secret: Path = tmp_path_factory.mktemp("guarded") / "hub.secret"
    secret.write_text(SECRET)
    flags = {"auth__hmac_secret_file": str(secret), "auth__algorithms": ("HS256",), "auth__anonymous": True}
    rights = {"namespaces__default__subscribe": "anonymous", "namespaces__default__publish": "anonymous"}
    pages = {"auth__cookie_name": "session", "server__allowed_origins": (PAGE,)}
    with served(server__dev=False, **flags, **rights, **pages) as found:
        yield found


async def expect(place: Place, data: bytes, status: int) -> bytes:
    """Send a request beside a healthy client and check the status of its answer."""
    async with healthy_neighbour(place):
        answer = await place.send(data)
    assert status_of(answer) == status, answer[:400]
    for part in (BODY, SIGNATURE, SECRET):
        assert part.encode() not in answer
    return answer


async def test_what_the_tables_change_lets_in_as_it_is(guarded: Place) -> None:
    for data in (
        post("/api/publish", PUBLISH, f"Authorization: Bearer {GOOD}"),
        get("/api/channels", FROM_PAGE, COOKIE),
        post("/api/publish", PUBLISH, FROM_PAGE, COOKIE, PROOF),
    ):
        await expect(guarded, data, 200)


@pytest.mark.parametrize("name", SIGNED)
async def test_signed_nonsense_is_401(guarded: Place, name: str) -> None:
    answer = await expect(guarded, post("/api/publish", PUBLISH, f"Authorization: Bearer {SIGNED[name]}"), 401)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] in (101, 109)


@pytest.mark.parametrize("name", TICKETS)
async def test_a_ticket_that_nobody_gave_out_is_401(guarded: Place, name: str) -> None:
    await expect(guarded, TICKETS[name], 401)


@pytest.mark.parametrize("name", COOKIES)
async def test_a_cookie_that_proves_nothing_opens_nothing(guarded: Place, name: str) -> None:
    await expect(guarded, *COOKIES[name])


def _other_end(ticket: str) -> str:
    return ticket[:-1] + ("0" if ticket[-1] != "0" else "1")


@pytest.mark.parametrize("change", [str, str.upper, _other_end, lambda t: t + "0", lambda t: t[:-1], lambda t: t[::-1]])
async def test_a_ticket_that_is_changed_or_used_is_401(guarded: Place, change: Callable[[str], str]) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{guarded.port}", trust_env=False) as http:
        answer = await http.post("/api/tickets", json={"token": GOOD}, headers={"Authorization": f"Bearer {GOOD}"})
    ticket = answer.json()["ticket"]
    if change is str:
        await expect(guarded, get(f"/api/channels?ticket={ticket}"), 200)
    await expect(guarded, get(f"/api/channels?ticket={change(ticket)}"), 401)
    if change is not str:
        await expect(guarded, get(f"/api/channels?ticket={ticket}"), 200)


async def test_of_two_tickets_in_one_url_neither_lets_in_what_the_other_would_not(guarded: Place) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{guarded.port}", trust_env=False) as http:
        answer = await http.post("/api/tickets", json={"token": GOOD}, headers={"Authorization": f"Bearer {GOOD}"})
    ticket = answer.json()["ticket"]
    for query in (f"ticket={PREFIX}x&ticket={ticket}", f"ticket={ticket}&ticket={PREFIX}x"):
        status = status_of(await guarded.send(get(f"/api/channels?{query}")))
        assert status in (400, 401)
    # At most one of them was taken for a ticket, so that it is used up; in no case is it good twice.
    again = [status_of(await guarded.send(get(f"/api/channels?ticket={ticket}"))) for _ in range(2)]
    assert again[1] == 401


def test_the_proof_of_a_cookie_is_what_the_docs_say() -> None:
    digest = hashlib.sha256(b"chappe-csrf:" + GOOD.encode()).digest()
    assert csrf_token(GOOD) == encoded(digest).decode()
