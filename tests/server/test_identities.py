"""Who somebody is, over real sockets and on every transport: tokens, tickets, cookies, certificates, services."""

import asyncio
import contextlib
import datetime
import hashlib
import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from chappe import Hub
from chappe.config import load
from chappe.testing import running_hub
from chappe.testing.running import RunningHub
from chappe.transports.credentials import csrf_token
from tests.auth.issuer import issuer, jwk_of
from tests.server.certificate import Certificate
from tests.transports.front_door_harness import close_code_of

SECRET = "0123456789abcdef0123456789abcdef"
PAGE = "https://app.example"
KEY = "chappe_q5Yk0v1H4dW8mXrJt2nZbA7cPfEo3uLs"
ISSUED = ed25519.Ed25519PrivateKey.generate()
NEWER = ed25519.Ed25519PrivateKey.generate()


def token(user: str = "ada", key: Any = SECRET, algorithm: str = "HS256", kid: str = "", **claims: Any) -> str:
    said = {"sub": user, "aud": "chappe", "exp": int(time.time()) + 60} | claims
    return jwt.encode(said, key, algorithm, headers={"kid": kid} if kid else None)


@contextlib.asynccontextmanager
async def served(folder: Path, **flags: Any) -> AsyncIterator[RunningHub]:
    """Serve a hub that lets users in, by HS256 if the flags do not say otherwise."""
    (folder / "secret").write_text(SECRET)
    (folder / "api.keys").write_text(f"shop:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    settings = {
        "namespaces.default.subscribe": "user",
        "namespaces.default.publish": "user",
        "namespaces.default.level": "recoverable",
        "auth.hmac_secret_file": str(folder / "secret"),
        "auth.algorithms": ("HS256", "EdDSA"),
        "auth.leeway_s": 0.0,
        "api.keys_file": str(folder / "api.keys"),
        "server.drain_timeout_s": 1.0,
    } | {name.replace("__", "."): value for name, value in flags.items()}
    async with running_hub(Hub(settings=load("/dev/null", {}, settings).settings)) as hub:
        yield hub


async def user_of(url: str, headers: dict[str, str] | None = None, **connect: Any) -> Any:
    """Connect by WebSocket; return the user, or the code of the refusal and of the close."""
    async with websockets.connect(url, additional_headers=headers, proxy=None) as client:
        await client.send(json.dumps({"type": "connect", "id": 1, **connect}))
        answer = json.loads(await client.recv())
        return answer["user"] if answer["type"] == "reply" else (answer["code"], await close_code_of(client))


async def ticket_of(hub: RunningHub, body: Any = None, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=hub.url, trust_env=False) as http:
        return await http.post("/api/tickets", json=body or {}, headers=headers)


async def status_of(hub: RunningHub, path: str, **headers: str) -> int:
    """Return how a GET is answered; a stream is left at once."""
    async with (
        httpx.AsyncClient(base_url=hub.url, trust_env=False) as http,
        http.stream("GET", path, headers=headers) as answer,
    ):
        return answer.status_code


async def test_a_token_lets_in_by_message_header_and_poll(tmp_path: Path) -> None:
    async with served(tmp_path) as hub:
        bearer = {"Authorization": f"Bearer {token()}"}
        assert await user_of(hub.ws_url, token=token()) == "ada"
        assert await user_of(hub.ws_url, bearer) == "ada"
        assert await user_of(hub.ws_url) == (101, 3500)
        assert await user_of(hub.ws_url, token=token(exp=int(time.time()) - 5)) == (109, 3005)
        assert await user_of(hub.ws_url + f"?token={token()}&access_token={token()}") == (101, 3500)
        assert await status_of(hub, "/events?channel=a", **bearer) == 200
        assert await status_of(hub, "/events?channel=a") == 401
        async with httpx.AsyncClient(base_url=hub.url, trust_env=False) as http:
            begun = (await http.get("/poll", headers=bearer)).json()

            async def said(**command: Any) -> Any:
                answer = await http.post(f"/send?session={begun['session']}", json=command)
                return answer.json()["messages"][0]

            assert (await said(type="subscribe", id=1, channel="a"))["type"] == "reply"
            assert await said(type="refresh", id=2, token=token()) == {"type": "reply", "id": 2}
            assert (await said(type="refresh", id=3, token=token("eve")))["code"] == 101


@pytest.mark.slow
async def test_a_session_ends_with_its_token_on_every_transport(tmp_path: Path) -> None:
    async with served(tmp_path) as hub, httpx.AsyncClient(base_url=hub.url, trust_env=False) as http:
        # The first whole second that is at least one away.
        short = {"Authorization": f"Bearer {token(exp=int(time.time()) + 2)}"}
        begun = (await http.get("/poll", headers=short)).json()["session"]
        await http.post(f"/send?session={begun}", json={"type": "subscribe", "id": 1, "channel": "a"})
        echo = f"{hub.ws_url[:-2]}echo"
        async with (
            websockets.connect(hub.ws_url, additional_headers=short, proxy=None) as client,
            websockets.connect(echo, additional_headers=short, proxy=None) as echoed,
        ):
            await echoed.send("hello")
            assert await echoed.recv() == "hello"
            await client.send('{"type":"subscribe","id":1,"channel":"a"}')
            async with http.stream("GET", "/events?channel=a", headers=short) as stream:
                assert "subscribed" in "".join([text async for text in stream.aiter_text()])
            assert await close_code_of(client) == await close_code_of(echoed) == 3005
        assert (await http.post(f"/send?session={begun}", json={"type": "ping"})).json()["code"] == 3005


async def test_nothing_is_repeated_or_recovered_for_who_was_revoked(tmp_path: Path) -> None:
    async with served(tmp_path) as hub, httpx.AsyncClient(base_url=hub.url, trust_env=False) as http:
        bearer = {"Authorization": f"Bearer {token(jti='t1')}"}
        backend = {"Authorization": f"Bearer {KEY}"}
        begun = (await http.get("/poll", headers=bearer)).json()
        session = f"session={begun['session']}"
        await http.post(f"/send?{session}", json={"type": "subscribe", "id": 1, "channel": "a"})
        first = (await http.post("/api/publish", json={"channel": "a", "data": "hidden"}, headers=backend)).json()
        unacknowledged = await http.get(f"/poll?{session}&cursor={begun['cursor']}")
        assert "hidden" in unacknowledged.text
        async with http.stream("GET", "/events?channel=a&since=1", headers=bearer) as stream:
            lines = stream.aiter_lines()
            while not (line := await anext(lines)).startswith("id: "):
                pass
            place = line.removeprefix("id: ")
            assert (await http.post("/api/revoke", json={"user": "ada"}, headers=backend)).json()["disconnected"] == 2
        again = await http.get(f"/poll?{session}&cursor={begun['cursor']}")
        assert (again.status_code, again.json()["code"]) == (410, 3503)
        for headers in (bearer, bearer | {"Last-Event-ID": place}):
            recovered = await http.get("/events?channel=a&since=1", headers=headers)
            assert recovered.status_code == 401
            assert "hidden" not in again.text + recovered.text
        since = {"type": "subscribe", "id": 2, "channel": "a", "since": {"epoch": first["epoch"], "offset": 0}}
        async with websockets.connect(hub.ws_url, additional_headers=bearer, proxy=None) as client:
            await client.send(json.dumps({"type": "connect", "id": 1, "resume": begun["session"]}))
            await client.send(json.dumps(since))
            assert json.loads(await client.recv())["code"] == 101
            assert await close_code_of(client) == 3500


async def test_a_ticket_lets_one_in_on_any_transport_and_is_used_up(tmp_path: Path) -> None:
    async with served(tmp_path) as hub:
        bearer = {"Authorization": f"Bearer {token(jti='t1')}"}

        async def ticket() -> str:
            return str((await ticket_of(hub, **bearer)).json()["ticket"])

        one = await ticket()
        assert await user_of(f"{hub.ws_url}?ticket={one}") == "ada"
        assert await user_of(f"{hub.ws_url}?ticket={one}") == (101, 3500)
        two = await ticket()
        assert await status_of(hub, f"/events?channel=a&ticket={two}") == 200
        assert await status_of(hub, f"/events?channel=a&ticket={two}") == 401
        assert await status_of(hub, f"/events?session=&channel=a&ticket={await ticket()}") == 200
        three = await ticket()
        async with httpx.AsyncClient(base_url=hub.url, trust_env=False) as http:
            begun = (await http.get(f"/poll?ticket={three}")).json()["session"]
            said = (await http.post(f"/send?session={begun}", json={"type": "connect", "id": 1})).json()
            assert said["messages"][0]["user"] == "ada"
            again = (await http.get(f"/poll?ticket={three}")).json()["session"]
            refused = (await http.post(f"/send?session={again}", json={"type": "connect", "id": 1})).json()
            assert refused["messages"][0]["code"] == 101


async def test_of_two_that_show_one_ticket_at_once_one_gets_in(tmp_path: Path) -> None:
    async with served(tmp_path) as hub:
        for _ in range(5):
            ticket = (await ticket_of(hub, Authorization=f"Bearer {token()}")).json()["ticket"]
            found = await asyncio.gather(*(user_of(f"{hub.ws_url}?ticket={ticket}") for _ in range(4)))
            assert sorted(found, key=str) == [(101, 3500)] * 3 + ["ada"]


async def test_a_backend_gets_tickets_for_its_users_and_a_user_only_for_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as hub:
        backend, user = {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Bearer {token()}"}
        for asked, name in (({"user": "bob"}, "bob"), ({"token": token("eve")}, "eve")):
            answer = await ticket_of(hub, asked, **backend)
            assert await user_of(f"{hub.ws_url}?ticket={answer.json()['ticket']}") == name
        refused: list[tuple[dict[str, object], int]] = [
            ({}, 400),
            ({"user": "a/b"}, 400),
            ({"user": "a", "token": "b"}, 400),
            ({"token": "rubbish"}, 401),
            ({"token": token(exp=1)}, 401),
            ({"ttl": 1}, 400),
        ]
        for body, status in refused:
            assert (await ticket_of(hub, body, **backend)).status_code == status, body
        assert (await ticket_of(hub, {"user": "bob"}, **user)).status_code == 403
        assert (await ticket_of(hub)).status_code == 401


async def test_a_cookie_counts_for_listed_pages_and_changes_nothing_without_its_proof(tmp_path: Path) -> None:
    flags = {"auth.cookie_name": "session", "server.allowed_origins": (PAGE,)}
    async with served(tmp_path, **flags) as hub:
        text = token(scope="api")
        cookie = {"Cookie": f"other=1; session={text}"}
        page = cookie | {"Origin": PAGE}
        assert await user_of(hub.ws_url, page) == "ada"
        assert await user_of(hub.ws_url, cookie) == (101, 3500)
        with pytest.raises(websockets.InvalidStatus):
            await user_of(hub.ws_url, cookie | {"Origin": "https://evil.example"})
        assert await status_of(hub, "/events?channel=a", **page) == 200
        assert await status_of(hub, "/events?channel=a", **cookie) == 401
        assert await status_of(hub, "/events?channel=a", **cookie, Origin="https://evil.example") == 403
        assert await status_of(hub, "/api/channels", **cookie) == 401
        async with httpx.AsyncClient(base_url=hub.url, trust_env=False) as http:
            for path, body in (("/api/tickets", {}), ("/api/publish", {"channel": "a", "data": 1})):
                proof = {"Chappe-CSRF": csrf_token(text)}
                assert (await http.post(path, json=body, headers=page | proof)).status_code == 200
                assert (await http.post(path, json=body, headers=page)).status_code == 401
                assert (await http.post(path, json=body, headers=page | {"Chappe-CSRF": text})).status_code == 401
                assert (await http.post(path, json=body, headers=cookie | proof)).status_code == 401


async def test_keys_that_an_issuer_rotates_are_followed(tmp_path: Path) -> None:
    async with issuer() as keys:
        keys.answer = {"keys": [jwk_of(ISSUED, "EdDSA", kid="1"), jwk_of(NEWER, "EdDSA", kid="2")]}
        async with served(tmp_path, auth__jwks_url=keys.url) as hub:
            assert await user_of(hub.ws_url, token=token("ada", ISSUED, "EdDSA", "1")) == "ada"
            assert await user_of(hub.ws_url, token=token("bob", NEWER, "EdDSA", "2")) == "bob"
            assert await user_of(hub.ws_url, token=token("eve", NEWER, "EdDSA", "1")) == (101, 3500)
            assert await user_of(hub.ws_url, token=token("eve", NEWER, "EdDSA", "3")) == (101, 3500)
            bearer = {"Authorization": f"Bearer {token('ada', ISSUED, 'EdDSA', '1')}"}
            assert await status_of(hub, "/events?channel=a", **bearer) == 200
            async with httpx.AsyncClient(trust_env=False) as http:
                metrics = await http.get(f"{hub.url}/metrics", headers={"Authorization": f"Bearer {KEY}"})
            assert "chappe_jwks_keys 2" in metrics.text
        assert len(keys.requests) == 1


async def test_an_issuer_that_was_never_reached_lets_nobody_in_and_everybody_come_back(tmp_path: Path) -> None:
    async with issuer() as keys:
        keys.answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
        async with served(tmp_path, auth__jwks_url=keys.url) as hub:
            text = token("ada", ISSUED, "EdDSA", "1")
            assert await user_of(hub.ws_url, token=text) == (108, 3010)
            assert await status_of(hub, "/events?channel=a", Authorization=f"Bearer {text}") == 503
            assert await user_of(hub.ws_url, token=token()) == "ada"


async def test_the_application_says_whose_an_opaque_token_is(tmp_path: Path) -> None:
    async with issuer() as application, served(tmp_path, auth__webhook_url=application.url) as hub:
        application.answer = {"user": "ada", "expires_at": time.time() + 60, "scopes": ["operator"]}
        assert await user_of(hub.ws_url, token="opaque") == "ada"
        bearer = {"Authorization": "Bearer opaque"}
        assert await status_of(hub, "/events?channel=a", **bearer) == 200
        assert await status_of(hub, "/api/channels", **bearer) == 200
        async with websockets.connect(f"{hub.ws_url[:-2]}echo", additional_headers=bearer, proxy=None) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        application.answer = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
        assert await user_of(hub.ws_url, token="other") == (101, 3500)
        wrong = {"Authorization": "Bearer third"}
        async with websockets.connect(f"{hub.ws_url[:-2]}echo", additional_headers=wrong, proxy=None) as client:
            assert await close_code_of(client) == 3500
        assert {json.loads(body)["token"] for body in application.bodies} == {"opaque", "other", "third"}


# --- Certificates ----------------------------------------------------------------------------------------------------


class Authority:
    """An authority that makes certificates of clients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority")
        self.file = str(folder / "ca.pem")
        made = self._sign(self._name, self._key.public_key(), True)
        Path(self.file).write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def client(self, user: str, server: Certificate) -> ssl.SSLContext:
        """Return the context of a client with a certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign(_name(user), key.public_key(), False)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._folder / f"{user}.pem"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
        context = server.client()
        context.load_cert_chain(path)
        return context

    def _sign(self, subject: x509.Name, key: Any, is_authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        return builder.sign(self._key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


async def test_a_certificate_says_who_somebody_is_and_a_token_may_say_otherwise(tmp_path: Path) -> None:
    server, authority = Certificate(tmp_path), Authority(tmp_path)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").client("eve", server)
    flags = {
        "server.cert": server.cert,
        "server.key": server.key,
        "server.client_ca": authority.file,
        "server.client_cert": "optional",
        "auth.certificate_user": "cn",
    }
    async with served(tmp_path, **flags) as hub:
        url = f"wss://localhost:{hub.port}/ws"
        ada = authority.client("ada", server)

        async def user(context: ssl.SSLContext, **connect: Any) -> Any:
            async with websockets.connect(url, ssl=context, proxy=None) as client:
                await client.send(json.dumps({"type": "connect", "id": 1, **connect}))
                answer = json.loads(await client.recv())
                return answer.get("user", answer.get("code"))

        assert await user(ada) == "ada"
        assert await user(ada, token=token("bob")) == "bob"
        assert await user(server.client()) == 101
        assert await user(server.client(), token=token("bob")) == "bob"
        with pytest.raises((ssl.SSLError, OSError, EOFError, websockets.InvalidHandshake)):
            await user(stranger)
        async with httpx.AsyncClient(verify=ada, trust_env=False, base_url=f"https://localhost:{hub.port}") as http:
            ticket = (await http.post("/api/tickets", json={})).json()["ticket"]
            begun = (await http.get("/poll")).json()["session"]
            said = (await http.post(f"/send?session={begun}", json={"type": "connect", "id": 1})).json()
            assert said["messages"][0]["user"] == "ada"
            assert (await http.get("/api/channels")).status_code == 403
        assert ticket.startswith("chappe-ticket-")


async def test_where_certificates_are_required_nobody_else_connects(tmp_path: Path) -> None:
    server, authority = Certificate(tmp_path), Authority(tmp_path)
    flags = {"server.cert": server.cert, "server.key": server.key, "server.client_ca": authority.file}
    async with served(tmp_path, **flags, **{"server.client_cert": "required"}) as hub:
        async with httpx.AsyncClient(verify=server.client(), trust_env=False) as http:
            with pytest.raises(httpx.TransportError):
                await http.get(f"https://localhost:{hub.port}/healthz")
        async with httpx.AsyncClient(verify=authority.client("ada", server), trust_env=False) as http:
            assert (await http.get(f"https://localhost:{hub.port}/healthz")).status_code == 200
