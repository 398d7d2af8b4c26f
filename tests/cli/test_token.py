"""`chappe token` makes tokens that the hub's own authenticator takes."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from chappe.auth.api_keys import ApiKeys
from chappe.auth.jwt import JwtAuthenticator, JwtOptions

from .conftest import Run


def authenticator(**options: Any) -> JwtAuthenticator:
    return JwtAuthenticator(JwtOptions(**options))


def test_a_token_with_a_new_secret_is_accepted_by_the_hub(run: Run) -> None:
    result = run(
        *("token", "create", "--user", "ada", "--scope", "api", "--scope", "operator", "--ttl", "90s"),
        *("--subscribe", "chat/#", "--publish", "chat/+", "--info", '{"colour": "red"}'),
        *("--secret-file", "hub.secret", "--new-secret"),
    )
    assert result.exit_code == 0, result.stderr
    hub = authenticator(hmac_secret=Path("hub.secret").read_bytes().strip(), algorithms=["HS256"])
    claims = hub.verify(result.stdout.strip(), time.time())
    assert (claims.user, claims.scopes) == ("ada", frozenset({"api", "operator"}))
    assert (claims.subscribe, claims.publish, claims.info) == (("chat/#",), ("chat/+",), {"colour": "red"})
    assert claims.expires_at is not None
    assert 80 < claims.expires_at - time.time() <= 90


def test_an_ed25519_key_signs_for_the_default_algorithm(run: Run) -> None:
    key = Ed25519PrivateKey.generate()
    Path("key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    token = run("token", "create", "--user", "ada", "--private-key", "key.pem").stdout.strip()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert authenticator(public_keys=[public]).verify(token, time.time()).user == "ada"


def test_secret_audience_and_issuer_come_from_the_configuration(run: Run) -> None:
    Path("s").write_text("x" * 32)
    Path("chappe.toml").write_text('[auth]\nhmac_secret_file = "s"\naudience = "here"\nissuer = "me"\n')
    result = json.loads(run("token", "create", "--user", "ada", "--json").stdout)
    claims = jwt.decode(result["token"], "x" * 32, algorithms=["HS256"], audience="here", issuer="me")
    assert claims == result["claims"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "--user is missing"),
        (("--user", "a"), 2, "give --secret-file FILE"),
        (("--user", "a", "--ttl", "1w"), 2, "expected 90s, 30m, 12h or 7d"),
        (("--user", "a", "--info", "{"), 2, "--info is not JSON"),
        (("--user", "a", "--secret-file", "nowhere"), 1, "nowhere cannot be read"),
        (("--user", "a", "--private-key", "nowhere"), 1, "nowhere cannot be read"),
    ],
)
def test_what_is_missing_is_told(run: Run, arguments: tuple[str, ...], code: int, told: str) -> None:
    result = run("token", "create", *arguments)
    assert result.exit_code == code
    assert told in result.stderr
    assert result.stdout == ""


def test_an_api_key_is_printed_once_and_its_hash_kept(run: Run) -> None:
    result = run("token", "create", "--api", "--name", "shop", "--keys-file", "api.keys")
    assert ApiKeys.load("api.keys").find(result.stdout.strip()) == "shop"
    assert "shown only now" in result.stderr


def test_without_a_file_the_line_for_it_is_printed(run: Run) -> None:
    result = run("token", "create", "--api", "--json")
    assert json.loads(result.stdout)["line"].startswith("backend:")
    assert "Add this line" in run("token", "create", "--api").stderr


def test_show_decodes_and_checks_only_if_asked(run: Run) -> None:
    Path("s").write_text("x" * 32)
    token = run("token", "create", "--user", "ada", "--secret-file", "s").stdout
    result = run("token", "show", "-", stdin=token)
    assert json.loads(result.stdout)["claims"]["sub"] == "ada"
    assert "signature not checked" in result.stderr
    assert "signature good" in run("token", "show", token.strip(), "--secret-file", "s").stderr
    Path("other").write_text("y" * 32)
    refused = run("token", "show", "-", "--secret-file", "other", stdin=token)
    assert refused.exit_code == 1
    assert "would be refused" in refused.stderr


def test_show_tells_when_a_token_expired_or_never_does(run: Run) -> None:
    expired = jwt.encode({"exp": 1}, "x" * 32)
    assert "expired 1970-01-01 00:00:01 UTC" in run("token", "show", expired).stderr
    assert "never expires" in run("token", "show", jwt.encode({}, "x" * 32)).stderr


def test_show_refuses_what_is_no_token(run: Run) -> None:
    result = run("token", "show", "x.y")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: this is not a token: ")


def test_a_password_is_read_from_standard_input_and_hashed(run: Run) -> None:
    result = run("token", "password", stdin="secret\n")
    assert result.stdout.startswith("scrypt$")
    assert run("token", "password", stdin="\n").exit_code == 2
