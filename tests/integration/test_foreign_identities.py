"""Identities made and shown by programs that are not ours: OpenSSL signs, nginx publishes keys, curl connects."""

import base64
import contextlib
import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from joserfc.jwk import OKPKey, RSAKey

from tests.hostile.neighbourhood import Place, served
from tests.integration.test_proxies import wait_for
from tests.server.authority import Authority, Issued

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

SECRET: Final = "0123456789abcdef0123456789abcdef"
PAGE: Final = "https://app.example"
USERS: Final = {
    "namespaces__default__subscribe": "user",
    "namespaces__default__publish": "user",
    "namespaces__default__level": "recoverable",
}
#: How OpenSSL makes a key and signs with it.
SIGNERS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "RS256": (("rsa", "-pkeyopt", "rsa_keygen_bits:2048"), ("dgst", "-sha256", "-sign")),
    "PS256": (
        ("rsa", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "-sign"),
    ),
    "EdDSA": (("ed25519",), ("pkeyutl", "-sign", "-rawin", "-inkey")),
}


def run(*command: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def curl(place: Place, path: str, *options: str, scheme: str = "http") -> tuple[int, Any]:
    """Ask with curl; return the status and the body, as JSON where it is some."""
    url = f"{scheme}://localhost:{place.port}{path}"
    said = run("curl", "--silent", "--no-buffer", "--max-time", "20", "--write-out", "\n%{http_code}", *options, url)
    body, _, status = said.decode().rpartition("\n")
    return int(status), json.loads(body) if body.startswith("{") else body


def encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def signed_by_openssl(folder: Path, algorithm: str, kid: str) -> tuple[str, bytes]:
    """Return a token and the public key, in PEM."""
    kind, how = SIGNERS[algorithm]
    key = folder / f"{algorithm}.key"
    run("openssl", "genpkey", "-quiet", "-algorithm", *kind, "-out", str(key))
    claims = {"sub": "ada", "aud": "chappe", "exp": int(time.time()) + 600, "scope": "operator"}
    text = encoded(json.dumps({"alg": algorithm, "kid": kid}).encode()) + b"." + encoded(json.dumps(claims).encode())
    signing = folder / "signed"
    signing.write_bytes(text)
    last = ("-in", str(signing)) if "pkeyutl" in how else (str(signing),)
    signature = run("openssl", *how, str(key), *last)
    return (text + b"." + encoded(signature)).decode(), run("openssl", "pkey", "-in", str(key), "-pubout")


@contextlib.contextmanager
def nginx(folder: Path, issued: Issued) -> Iterator[str]:
    """Serve a folder over TLS with nginx; yield the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr; events {{}}\n"
        f"http {{ access_log {folder}/access; {temporary} server {{ listen 127.0.0.1:{port} ssl; root {folder}/www;\n"
        f"ssl_certificate {issued.cert}; ssl_certificate_key {issued.key};\n"
        f"location /old {{ return 302 /jwks.json; }} }} }}"
    )
    command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    with (folder / "log").open("wb") as log:
        program = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(port, program, folder / "log")
        yield f"https://localhost:{port}"
    finally:
        program.terminate()
        program.wait(10)


def published(folder: Path, pem: bytes, algorithm: str, kid: str) -> None:
    """Write the set of keys that joserfc makes of a key in PEM."""
    kind: Any = OKPKey if algorithm == "EdDSA" else RSAKey
    key = kind.import_key(pem, {"kid": kid, "use": "sig", "alg": algorithm})
    (folder / "www").mkdir()
    (folder / "www/jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_a_token_that_openssl_signed_counts_with_the_key_that_openssl_wrote(tmp_path: Path, algorithm: str) -> None:
    token, pem = signed_by_openssl(tmp_path, algorithm, "1")
    (tmp_path / "issuer.pem").write_bytes(pem)
    flags: dict[str, Any] = {"auth__public_keys": (str(tmp_path / "issuer.pem"),), "auth__algorithms": (algorithm,)}
    with served(server__dev=False, **flags, **USERS) as hub:
        assert curl(hub, "/api/info", "--oauth2-bearer", token)[0] == 200
        assert curl(hub, "/api/info", "--oauth2-bearer", token[:-4] + "AAAA")[0] == 401


@pytest.mark.parametrize("algorithm", SIGNERS)
def test_keys_that_nginx_serves_over_tls_are_fetched_and_a_stranger_in_its_place_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    token, pem = signed_by_openssl(tmp_path, algorithm, "1")
    published(tmp_path, pem, algorithm, "1")
    authority, other = Authority(tmp_path), Authority(tmp_path, "another authority")
    with nginx(tmp_path, authority.issue("localhost", "localhost")) as address:
        for trusted, path, status in (
            (authority, "/jwks.json", 200),
            (other, "/jwks.json", 503),
            (authority, "/old", 503),
            (authority, "/missing", 503),
        ):
            monkeypatch.setenv("SSL_CERT_FILE", trusted.cert)
            flags: dict[str, Any] = {"auth__jwks_url": address + path, "auth__algorithms": (algorithm,)}
            with served(server__dev=False, **flags, **USERS) as hub:
                assert curl(hub, "/api/info", "--oauth2-bearer", token)[0] == status
    asked = (tmp_path / "access").read_text()
    assert asked.count("GET /jwks.json") == 1


def test_curl_comes_with_a_header_a_ticket_and_a_cookie(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    claims = {"sub": "ada", "aud": "chappe", "exp": int(time.time()) + 600, "scope": "operator api"}
    token = jwt.encode(claims, SECRET, "HS256")
    flags: dict[str, Any] = {
        "auth__hmac_secret_file": str(tmp_path / "secret"),
        "auth__algorithms": ("HS256",),
        "auth__cookie_name": "session",
        "server__allowed_origins": (PAGE,),
    }
    proof = encoded(hashlib.sha256(b"chappe-csrf:" + token.encode()).digest()).decode()
    post = ("--header", "Content-Type: application/json", "--data", "{}")
    page = ("--cookie", f"session={token}", "--header", f"Origin: {PAGE}")
    with served(server__dev=False, **flags, **USERS) as hub:
        status, answer = curl(hub, "/api/tickets", "--oauth2-bearer", token, *post)
        assert status == 200
        path = f"/poll?ticket={answer['ticket']}"
        status, begun = curl(hub, path)
        assert status == 200
        subscribe = (
            "--header",
            "Content-Type: application/json",
            "--data",
            '{"type":"subscribe","id":1,"channel":"a"}',
        )
        status, said = curl(hub, f"/send?session={begun['session']}", *subscribe)
        assert said["messages"][0]["type"] == "reply"
        # A ticket is good once: what begins with it again is a stranger's.
        status, begun = curl(hub, path)
        status, said = curl(hub, f"/send?session={begun['session']}", *subscribe)
        assert said["messages"][0]["code"] == 101
        assert curl(hub, "/api/info", *page)[0] == 200
        assert curl(hub, "/api/info", *page[:2])[0] == 401
        assert curl(hub, "/api/tickets", *page, *post)[0] == 401
        status, answer = curl(hub, "/api/tickets", *page, *post, "--header", f"Chappe-CSRF: {proof}")
        assert status == 200
        assert curl(hub, f"/api/info?ticket={answer['ticket']}")[0] == 200
        assert curl(hub, f"/api/info?ticket={answer['ticket']}")[0] == 401


def test_curl_comes_with_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"backend:{hashlib.sha256(b'chappe_key').hexdigest()}\n")
    authority = Authority(tmp_path)
    main, ada, eve = (authority.issue(name, "localhost") for name in ("localhost", "ada", "eve"))
    flags: dict[str, Any] = {
        "server__cert": main.cert,
        "server__key": main.key,
        "server__client_ca": authority.cert,
        "server__client_cert": "optional",
        "auth__certificate_user": "cn",
        "api__keys_file": str(tmp_path / "keys"),
    }
    post = ("--header", "Content-Type: application/json", "--data")
    with served(server__dev=False, **flags, **USERS) as hub:

        def ask(path: str, *options: str, by: Issued | None = None) -> tuple[int, Any]:
            shown = ("--cert", by.cert, "--key", by.key) if by is not None else ()
            return curl(hub, path, "--cacert", authority.cert, *shown, *options, scheme="https")

        def who(by: Issued | None) -> Any:
            session = ask("/poll", by=by)[1]["session"]
            said = ask(f"/send?session={session}", *post, '{"type":"connect","id":1}', by=by)[1]["messages"][0]
            return said.get("user", said.get("code"))

        assert [who(by) for by in (ada, eve, None)] == ["ada", "eve", 101]
        # Whoever has a certificate has no right to the API by it.
        assert ask("/api/info", by=ada)[0] == 403
        revoked = ask("/api/revoke", "--oauth2-bearer", "chappe_key", *post, '{"user":"ada"}')
        assert revoked == (200, {"disconnected": 1})
        assert [who(by) for by in (ada, eve)] == [101, "eve"]
        assert ask("/api/tickets", *post, "{}", by=ada)[0] == 401
