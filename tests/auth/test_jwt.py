"""Tokens: what is accepted, and every known way around the check refused."""

import base64
import hashlib
import hmac
import json
import warnings
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chappe.auth.jwt import JwtAuthenticator, JwtOptions
from chappe.hub.contracts import Claims
from chappe.model.errors import ChappeError, ConfigurationError

NOW = 1_795_348_800.0
SECRET = b"0123456789abcdef0123456789abcdef"
ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def public(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def good(**more: Any) -> dict[str, Any]:
    claims = {"sub": "ada", "aud": "chappe", "exp": NOW + 60} | more
    return {name: value for name, value in claims.items() if value is not None}


def hs256(claims: dict[str, Any], **options: Any) -> str:
    return jwt.encode(claims, SECRET, algorithm="HS256", **options)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: Any, payload: bytes) -> str:
    """Sign with HS256 what no library would encode."""
    head = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    return f"{head}.{b64(hmac.digest(SECRET, head.encode(), hashlib.sha256))}"


HMAC = JwtAuthenticator(JwtOptions(algorithms=("HS256",), hmac_secret=SECRET))


def refusal(token: str, authenticator: JwtAuthenticator = HMAC) -> ChappeError:
    with pytest.raises(ChappeError) as caught:
        authenticator.verify(token, NOW)
    assert token not in str(caught.value) or not token
    return caught.value


def problem(claims: dict[str, Any]) -> str:
    error = refusal(hs256(claims))
    assert error.code == 101
    return str(error.detail["problem"])


def test_a_token_says_who_it_is_and_what_it_may() -> None:
    token = hs256(
        good(
            jti="t1",
            scope="api service:billing",
            chappe={"subscribe": ["chat/#"], "publish": [], "info": {"color": "red"}},
        )
    )
    assert HMAC.verify(token, NOW) == Claims(
        user="ada",
        expires_at=NOW + 60,
        scopes=frozenset({"api", "service:billing"}),
        subscribe=("chat/#",),
        publish=(),
        info={"color": "red"},
        token_id="t1",
    )


def test_without_rights_in_the_token_the_namespace_decides() -> None:
    claims = HMAC.verify(hs256(good(aud=["other", "chappe"], scope=["api"])), NOW)
    assert claims.subscribe is None
    assert claims.publish is None
    assert claims.scopes == {"api"}


def test_a_backend_needs_no_subject_if_it_has_a_scope() -> None:
    assert HMAC.verify(hs256(good(sub=None, scope="api")), NOW).user is None


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(ED, "EdDSA"), (EC, "ES256"), (RSA, "RS256"), (RSA, "PS512")],
)
def test_each_type_of_public_key_verifies_its_own_tokens(key: Any, algorithm: str) -> None:
    authenticator = JwtAuthenticator(JwtOptions(algorithms=(algorithm,), public_keys=(public(key),)))
    assert authenticator.verify(jwt.encode(good(), key, algorithm=algorithm), NOW).user == "ada"


def test_of_several_keys_any_may_have_signed() -> None:
    newer = ed25519.Ed25519PrivateKey.generate()
    options = JwtOptions(algorithms=("EdDSA", "HS256"), hmac_secret=SECRET, public_keys=(public(ED), public(newer)))
    authenticator = JwtAuthenticator(options)
    for token in (jwt.encode(good(), newer, "EdDSA"), jwt.encode(good(), ED, "EdDSA"), hs256(good())):
        assert authenticator.verify(token, NOW).user == "ada"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (good(aud=None), "aud: is missing"),
        (good(aud="other"), "aud: another audience's token"),
        (good(aud=["other"]), "aud: another audience's token"),
        (good(aud=7), "aud: expected a string"),
        (good(exp=None), "exp: is missing"),
        (good(exp="soon"), "exp: expected seconds since 1970"),
        (good(exp=True), "exp: expected seconds since 1970"),
        (good(nbf=NOW + 1), "nbf: the token is not valid yet"),
        (good(nbf="x"), "nbf: expected seconds since 1970"),
        (good(sub=None), "sub: is missing"),
        (good(sub=7), "sub: expected a string"),
        (good(sub=""), "sub: expected 1 to 255 bytes"),
        (good(sub="x" * 256), "sub: expected 1 to 255 bytes"),
        (good(sub="#"), "sub: may not contain + # / or control characters"),
        (good(sub="a/b"), "sub: may not contain + # / or control characters"),
        (good(sub="+"), "sub: may not contain + # / or control characters"),
        (good(sub="a\nb"), "sub: may not contain + # / or control characters"),
        (good(jti=7), "jti: expected a string"),
        (good(scope={"api": True}), "scope: expected a string"),
        (good(scope=["api", 1]), "scope: expected a string"),
        (good(chappe=[]), "chappe: expected `object`, got `array`"),
        (good(chappe={"subscribe": "chat/#"}), "chappe: expected `array | null`, got `str` - at `chappe.subscribe`"),
        (good(chappe={"publish": [1]}), "chappe: expected `str`, got `int` - at `chappe.publish[0]`"),
        (good(chappe={"subscibe": ["chat/#"]}), "chappe: object contains unknown field `subscibe`"),
        (good(chappe={"publish": ["a", "a/#/b"]}), "chappe.publish[1]: # must be the last segment"),
    ],
)
def test_a_wrong_claim_is_named(claims: dict[str, Any], expected: str) -> None:
    assert expected in problem(claims)


def test_a_token_is_worth_nothing_from_the_moment_of_exp_on() -> None:
    token = hs256(good(exp=NOW))
    assert refusal(token).code == 109
    assert HMAC.verify(token, NOW - 0.001).user == "ada"


def test_a_token_is_valid_from_the_moment_of_nbf_on() -> None:
    assert HMAC.verify(hs256(good(nbf=NOW)), NOW).user == "ada"


def test_only_who_can_sign_learns_that_a_token_has_expired() -> None:
    forged = jwt.encode(good(exp=NOW - 60), SECRET[::-1], algorithm="HS256")
    assert refusal(forged).code == 101


def test_the_issuer_must_be_the_configured_one() -> None:
    authenticator = JwtAuthenticator(
        JwtOptions(algorithms=("HS256",), hmac_secret=SECRET, issuer="https://login.example")
    )
    assert authenticator.verify(hs256(good(iss="https://login.example")), NOW).user == "ada"
    assert refusal(hs256(good()), authenticator).detail["problem"] == "iss: is missing"
    assert refusal(hs256(good(iss="https://login.example/")), authenticator).detail["problem"].startswith("iss: ")


def test_an_unsigned_token_is_refused() -> None:
    for name in ("none", "None", "NONE", ""):
        head = f"{b64(json.dumps({'alg': name}).encode())}.{b64(json.dumps(good()).encode())}."
        assert refusal(head).detail["problem"] == "alg: not accepted here"


def test_a_public_key_is_not_taken_for_a_secret() -> None:
    # CVE-2022-29217 and its kin: HS256 with the text of the public key as secret.
    authenticator = JwtAuthenticator(
        JwtOptions(algorithms=("EdDSA", "HS256"), hmac_secret=SECRET, public_keys=(public(ED),))
    )
    header = json.dumps({"alg": "HS256"}).encode()
    head = f"{b64(header)}.{b64(json.dumps(good()).encode())}"
    forged = f"{head}.{b64(hmac.digest(public(ED), head.encode(), hashlib.sha256))}"
    assert refusal(forged, authenticator).detail["problem"] == "wrong signature"


def test_an_algorithm_that_is_not_configured_is_refused_even_if_a_key_could_serve_it() -> None:
    authenticator = JwtAuthenticator(JwtOptions(algorithms=("RS256",), public_keys=(public(RSA),)))
    assert refusal(jwt.encode(good(), RSA, "RS512"), authenticator).detail["problem"] == "alg: not accepted here"
    assert refusal(hs256(good()), authenticator).detail["problem"] == "alg: not accepted here"


def test_keys_that_a_token_brings_along_are_not_looked_at() -> None:
    thief = ed25519.Ed25519PrivateKey.generate()
    embedded = json.loads(jwt.get_algorithm_by_name("EdDSA").to_jwk(thief.public_key()))
    authenticator = JwtAuthenticator(JwtOptions(public_keys=(public(ED),)))
    for header in (
        {"jwk": embedded},
        {"jku": "https://thief.example/jwks"},
        {"x5u": "https://thief.example/c.pem"},
        {"kid": "../../dev/null"},
    ):
        stolen = jwt.encode(good(), thief, "EdDSA", headers=header)
        assert refusal(stolen, authenticator).detail["problem"] == "wrong signature"
        honest = jwt.encode(good(), ED, "EdDSA", headers=header)
        assert authenticator.verify(honest, NOW).user == "ada"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": False}])
def test_a_critical_extension_is_refused(header: dict[str, Any]) -> None:
    token = by_hand({"alg": "HS256"} | header, json.dumps(good()).encode())
    assert refusal(token).code == 101


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"null",
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"sub":"ada","aud":"chappe","exp":1e400}',
        b'{"sub":"ada","aud":"chappe","exp":' + b"9" * 400 + b"}",
        b'{"sub":"ada","aud":"chappe","exp":NaN}',
        b'{"sub":"\\ud800","aud":"chappe","exp":9999999999}',
    ],
)
def test_signed_nonsense_is_refused(payload: bytes) -> None:
    assert refusal(by_hand({"alg": "HS256"}, payload)).code == 101


@pytest.mark.parametrize("header", [[], {}, {"alg": None}, {"alg": 7}, {"alg": ["HS256"]}, {"alg": "HS256", "kid": 7}])
def test_a_header_of_the_wrong_shape_is_refused(header: Any) -> None:
    assert refusal(by_hand(header, json.dumps(good()).encode())).code == 101


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "\ud800", "x" * 20_000, hs256(good())[:-2]])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refusal(token).code == 101


@given(st.one_of(st.text(), st.binary().map(b64), st.lists(st.binary().map(b64), max_size=5).map(".".join)))
def test_any_text_raises_only_the_documented_errors(token: str) -> None:
    with pytest.raises(ChappeError) as caught:
        HMAC.verify(token, NOW)
    assert caught.value.code == 101


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CLAIM_NAMES = st.sampled_from(["sub", "aud", "exp", "nbf", "iss", "jti", "scope", "chappe"])


@given(st.dictionaries(CLAIM_NAMES, JSON_VALUES), st.booleans())
def test_any_signed_claims_raise_only_the_documented_errors(claims: dict[str, Any], complete: bool) -> None:
    token = by_hand({"alg": "HS256"}, json.dumps(good() | claims if complete else claims).encode())
    refusals: list[int] = []
    try:
        verified = HMAC.verify(token, NOW)
    except ChappeError as error:
        refusals.append(error.code)
    if refusals:
        assert refusals[0] in (101, 109)
    else:
        assert verified.user or verified.scopes
        assert verified.expires_at is not None
        assert verified.expires_at > NOW


def pem_of(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


SECP256K1 = public(ec.generate_private_key(ec.SECP256K1()))
with warnings.catch_warnings():
    # Below 2048 bits the library warns, which is what the test is about.
    warnings.simplefilter("ignore")
    SMALL_RSA = public(rsa.generate_private_key(65537, 1024))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (JwtOptions(algorithms=("HS256",), hmac_secret=SECRET[:31]), "has 31 bytes, expected 32 or more"),
        (JwtOptions(algorithms=("HS512",), hmac_secret=SECRET), "has 32 bytes, expected 64 or more"),
        (JwtOptions(algorithms=("HS256",), hmac_secret=public(ED)), "expected a secret"),
        (JwtOptions(hmac_secret=SECRET), "add 'HS256' there"),
        (JwtOptions(algorithms=("none",)), "auth.algorithms has 'none'"),
        (JwtOptions(audience=""), "auth.audience is empty"),
        (JwtOptions(public_keys=(public(RSA),)), "add 'RS256' there"),
        (JwtOptions(public_keys=(b"-----BEGIN nothing",)), "key 1 is no PEM public key"),
        (JwtOptions(public_keys=(public(ED), pem_of(ED))), "key 2 is a private key"),
        (JwtOptions(algorithms=("RS256",), public_keys=(SMALL_RSA,)), "1024 bits, expected 2048"),
        (
            JwtOptions(algorithms=("ES256",), public_keys=(SECP256K1,)),
            "no tokens",
        ),
    ],
)
def test_a_key_that_cannot_be_used_stops_the_start(options: JwtOptions, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        JwtAuthenticator(options)
    assert expected in caught.value.reason


def test_keys_are_read_from_files_as_the_command_line_writes_them(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    (tmp_path / "key.pem").write_bytes(public(ED))
    authenticator = JwtAuthenticator.from_files(
        hmac_secret_file=str(tmp_path / "secret"),
        public_key_files=[str(tmp_path / "key.pem")],
        algorithms=["HS256", "EdDSA"],
        audience="chappe",
    )
    for token in (hs256(good()), jwt.encode(good(), ED, "EdDSA")):
        assert authenticator.verify(token, NOW).user == "ada"


@pytest.mark.parametrize("setting", ["hmac_secret_file", "public_key_files"])
def test_a_missing_key_file_is_refused_by_name(setting: str) -> None:
    value: Any = "/nowhere" if setting == "hmac_secret_file" else ["/nowhere"]
    with pytest.raises(ConfigurationError, match="'/nowhere' cannot be read"):
        JwtAuthenticator.from_files(**{setting: value}, algorithms=["HS256"], audience="chappe")


# --- As PyJWT verifies -----------------------------------------------------------------------------------------------

SIGNED = [
    hs256(good()),
    hs256(good(sub="a" * 7), headers={"kid": "k1"}),
    jwt.encode(good(), ED, algorithm="EdDSA"),
    by_hand({"alg": "HS256", "crit": ["exp"]}, b"{}"),
    by_hand({"alg": "HS256", "kid": 7}, b"{}"),
    by_hand({"alg": "HS256", "b64": False}, b""),
    by_hand({"alg": "HS512"}, b"{}"),
    jwt.encode(good(), "", algorithm="none"),
]
BOTH = JwtOptions(algorithms=("HS256", "EdDSA"), hmac_secret=SECRET, public_keys=(public(ED),))
PIECES = ("", "=", "==", ".", "A", "B", "-", "_", "+", "/", " ", "\n", "é", "!!!!")
MUTATIONS = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(PIECES)), max_size=3)


def by_pyjwt(token: str) -> bool:
    """Tell whether PyJWT finds a token signed by one of the two keys, and no extension in its header."""
    for algorithm, key in (("HS256", SECRET), ("EdDSA", ED.public_key())):
        try:
            complete = jwt.PyJWS(algorithms=[algorithm]).decode_complete(token, key, algorithms=[algorithm])
        except (jwt.PyJWTError, ValueError, RecursionError):
            continue
        return not {"crit", "b64"} & set(complete["header"])
    return False


def mutated(token: str, mutations: list[tuple[float, str]], keeps: bool) -> str:
    for where, text in mutations:
        index = round(where * len(token))
        token = token[:index] + text + token[index if keeps else index + 1 :]
    return token


@given(st.sampled_from(SIGNED), MUTATIONS, st.booleans(), st.booleans())
def test_a_signature_is_right_when_pyjwt_says_so(
    token: str, mutations: list[tuple[float, str]], keeps: bool, warm: bool
) -> None:
    authenticator = JwtAuthenticator(BOTH)
    if warm:
        # Headers of tokens that were right are remembered.
        for known in SIGNED[:3]:
            authenticator.verify(known, NOW)
    token = mutated(token, mutations, keeps)
    try:
        authenticator.verify(token, NOW)
        verified = True
    except ChappeError as error:
        # What is signed may still be no claims.
        verified = error.detail.get("problem") not in SIGNATURE_PROBLEMS
    assert verified is by_pyjwt(token)


SIGNATURE_PROBLEMS = (
    "malformed token",
    "wrong signature",
    "alg: not accepted here",
    "crit: unknown extension",
    "the token is too long",
)


@pytest.mark.parametrize("ending", ["=", "==", "===", "A", "!", " ", "\n"])
def test_a_signature_has_one_form(ending: str) -> None:
    token = hs256(good())
    HMAC.verify(token, NOW)
    if by_pyjwt(token + ending):
        assert ending == "="
        HMAC.verify(token + ending, NOW)
    else:
        assert refusal(token + ending).code == 101


def test_many_headers_do_not_stay_for_ever() -> None:
    authenticator = JwtAuthenticator(BOTH)
    for number in range(200):
        authenticator.verify(hs256(good(), headers={"kid": str(number)}), NOW)
        assert len(authenticator._headers) <= 64
    authenticator.verify(hs256(good(), headers={"kid": "x" * 1_000}), NOW)
    assert all(len(header) < 1_000 for header in authenticator._headers)


def test_a_secret_that_pyjwt_would_refuse_stops_the_start() -> None:
    secret = b'{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}'
    with pytest.raises(ConfigurationError, match=r"auth.hmac_secret_file is no key for HS256"):
        JwtAuthenticator(JwtOptions(algorithms=("HS256",), hmac_secret=secret))
