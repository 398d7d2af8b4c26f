"""Settings about tokens become what verifies them."""

from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chappe.config import load, make_authenticator, make_authorizer, make_reader
from chappe.hub.contracts import Claims
from chappe.model.errors import ConfigurationError
from chappe.testing.fake_clock import FakeClock

NOW = 1_795_348_800.0
SECRET = "0123456789abcdef0123456789abcdef"
KEY = ed25519.Ed25519PrivateKey.generate()


def made(text: str, folder: Path) -> Any:
    (folder / "secret").write_text(SECRET)
    (folder / "key.pem").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (folder / "chappe.toml").write_text(text.replace("FOLDER", str(folder)))
    return make_authenticator(load(folder / "chappe.toml", {}).settings, FakeClock())


def test_without_keys_and_services_there_is_nothing(tmp_path: Path) -> None:
    assert made("", tmp_path) is None


def test_each_issuer_has_its_keys_and_its_names(tmp_path: Path) -> None:
    text = """
[auth]
hmac_secret_file = "FOLDER/secret"
algorithms = ["HS256"]
audience = ["one", "two"]
leeway_s = 5

[issuers.partner]
issuer = ["https://partner.example", "https://partner.example/"]
audience = "three"
algorithms = ["EdDSA"]
public_keys = ["FOLDER/key.pem"]
"""
    issuers = made(text, tmp_path)

    def user(key: Any, algorithm: str, **claims: Any) -> str | None:
        verified = issuers.authenticate(jwt.encode({"sub": "ada", "exp": NOW - 4} | claims, key, algorithm), NOW)
        assert isinstance(verified, Claims)
        return verified.user

    assert user(SECRET, "HS256", aud="two") == "ada"
    assert user(KEY, "EdDSA", aud="three", iss="https://partner.example/") == "ada"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[auth]\njwks_url = "http://keys.example/"', r"auth\.jwks_url is http://"),
        ('[auth]\njwks_url = "https://x/"\nalgorithms = ["HS256"]', r"auth\.jwks_url serves none"),
        ('[auth]\nwebhook_url = "http://10.0.0.1/"', r"auth\.webhook_url is http://"),
        ('[issuers.a]\njwks_url = "https://x/"', r"issuers\.a\.issuer is empty"),
        ('[issuers.a]\nissuer = "https://x"', r"issuers\.a has no key"),
        ('[issuers.a]\nissuer = "x"\njwks_url = "http://x/"', r"issuers\.a\.jwks_url is http://"),
        ('[auth]\naudience = []\njwks_url = "https://x/"\nalgorithms = ["RS256"]', r"auth\.audience is empty"),
    ],
)
def test_what_cannot_be_used_stops_the_start_by_name(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        made(text, tmp_path)


def test_a_name_or_several_come_from_the_environment_too() -> None:
    environ = {"CHAPPE_AUTH__AUDIENCE": "one, two", "CHAPPE_AUTH__ISSUER": "https://x"}
    auth = load("/dev/null", environ).settings.auth
    assert (auth.audience, auth.issuer) == (("one", "two"), "https://x")


@pytest.mark.parametrize("url", ["ftp://x/", "file:///etc/passwd", "x", "http://", "//x", "http://10.0.0.1/may"])
def test_a_service_that_decides_has_a_url_of_http_that_nobody_on_the_way_can_change(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"auth\.authorize_url"):
        make_authorizer(load("/dev/null", {}, {"auth.authorize_url": url}).settings)


def test_there_is_one_that_decides_only_where_the_settings_name_it() -> None:
    def made(**flags: Any) -> bool:
        named = {f"auth.{name}": value for name, value in flags.items()}
        return make_authorizer(load("/dev/null", {}, named).settings) is not None

    assert not made()
    assert made(authorize_url="https://x/may")
    assert made(authorize_url="http://127.0.0.1:9/may")
    assert made(authorize_url="http://10.0.0.1/may", insecure_http=True)


def test_a_cookie_is_never_for_pages_without_an_origin() -> None:
    flags = {"auth.cookie_name": "s", "server.allowed_origins": ("https://a", "null")}
    assert make_reader(load("/dev/null", {}, flags).settings).origins == {"https://a"}
