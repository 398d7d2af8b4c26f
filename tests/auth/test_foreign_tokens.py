"""Tokens and key sets that other programs make: joserfc in Python, and the crypto of Node."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from chappe.auth.jwks import read_key_set
from chappe.auth.jwt import JwtAuthenticator, JwtOptions
from chappe.auth.keys import PUBLIC_ALGORITHMS
from chappe.hub.contracts import Claims
from chappe.model.errors import ChappeError

NOW = 1_795_348_800.0
CLAIMS = {"sub": "ada", "aud": ["other", "chappe"], "exp": int(NOW) + 60, "nbf": int(NOW) - 60, "jti": "t1"}
RSA_KEY = RSAKey.generate_key(2048, {"kid": "r"}, private=True)
KEYS: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA_KEY),
    "ES256": ECKey.generate_key("P-256", {"kid": "e2"}, private=True),
    "ES384": ECKey.generate_key("P-384", {"kid": "e3"}, private=True),
    "ES512": ECKey.generate_key("P-521", {"kid": "e5"}, private=True),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "d"}, private=True),
}
SECRET = OctKey.generate_key(512, private=True)


def authenticator(algorithm: str) -> JwtAuthenticator:
    if algorithm.startswith("HS"):
        return JwtAuthenticator(JwtOptions(algorithms=(algorithm,), hmac_secret=SECRET.get_op_key("verify")))
    return JwtAuthenticator(JwtOptions(algorithms=(algorithm,), public_keys=(KEYS[algorithm].as_pem(private=False),)))


# RFC 9864 would rather have the curve named; issuers say EdDSA.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", [*KEYS, "HS256", "HS384", "HS512"])
def test_a_token_of_joserfc_is_verified_and_a_changed_one_is_not(algorithm: str) -> None:
    key = KEYS.get(algorithm, SECRET)
    token = joserfc_jwt.encode({"alg": algorithm, "typ": "JWT"}, CLAIMS, key, algorithms=[algorithm])
    claims = authenticator(algorithm).authenticate(token, NOW)
    assert isinstance(claims, Claims)
    assert (claims.user, claims.token_id, claims.expires_at) == ("ada", "t1", NOW + 60)
    head, body, signature = token.split(".")
    swapped = signature[1:] + signature[:1]
    with pytest.raises(ChappeError):
        authenticator(algorithm).authenticate(f"{head}.{body}.{swapped}", NOW)


def test_a_key_set_of_joserfc_is_read_as_it_is() -> None:
    document = KeySet([*{id(key): key for key in KEYS.values()}.values()]).as_dict(private=False)
    keys, skipped = read_key_set(json.dumps(document).encode(), sorted(PUBLIC_ALGORITHMS))
    assert [key.kid for key in keys] == ["r", "e2", "e3", "e5", "d"]
    assert skipped == []


NODE = """
const { generateKeyPairSync, sign } = require("node:crypto");
const kinds = {
  EdDSA: ["ed25519", {}, null, {}],
  ES256: ["ec", { namedCurve: "P-256" }, "sha256", { dsaEncoding: "ieee-p1363" }],
  RS256: ["rsa", { modulusLength: 2048 }, "sha256", {}],
  PS384: ["rsa", { modulusLength: 2048 }, "sha384", { padding: 6, saltLength: 48 }],
};
const told = {};
for (const [alg, [kind, options, hash, how]] of Object.entries(kinds)) {
  const { publicKey, privateKey } = generateKeyPairSync(kind, options);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = part({ alg, kid: "n" }) + "." + part(JSON.parse(process.argv[1]));
  const signature = sign(hash, Buffer.from(head), { key: privateKey, ...how }).toString("base64url");
  told[alg] = { token: head + "." + signature, jwk: { ...publicKey.export({ format: "jwk" }), kid: "n", use: "sig" } };
}
console.log(JSON.stringify(told));
"""


@pytest.mark.slow
def test_tokens_and_keys_of_node_are_verified() -> None:
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run([node, "-e", NODE, json.dumps(CLAIMS)], capture_output=True, text=True, check=True)
    for algorithm, made in json.loads(done.stdout).items():
        keys, _ = read_key_set(json.dumps({"keys": [made["jwk"]]}).encode(), [algorithm])
        (prepared,) = keys
        verifier = JwtAuthenticator(
            JwtOptions(algorithms=(algorithm,), public_keys=(_pem(prepared.prepared[algorithm]),))
        )
        claims = verifier.authenticate(made["token"], NOW)
        assert isinstance(claims, Claims)
        assert claims.user == "ada"


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem
