"""Make the hub that is measured: its configuration, keys and tokens in a folder of their own."""

from __future__ import annotations

import datetime
import importlib.metadata
import ipaddress
import secrets
import sys
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from chappe.bench.servers import Kind, Server
from chappe.config.settings import ServerSettings

Algorithm = Literal["HS256", "EdDSA"]

AUDIENCE = "chappe"
TOKEN_TTL_S = 24 * 3600
SUBSCRIBE = '{"type":"subscribe","id":1,"channel":"bench"}'
PUBLISH = '{"type":"publish","id":2,"channel":"bench","data":"%s"}'
_REPLY = '"type":"reply"'

#: Everything a message passes in earnest: token, rights, limits and history; but for the rate, which is what is
#: measured, and the caps for each address, since one sends all the load.
_CONFIG = """
[server]
{server}
[auth]
{auth}
[namespaces.default]
level = "recoverable"
history_count = 100
history_age_s = 600
subscribe = "user"
publish = "user"
[limits]
messages_per_s = 0
connections_per_address = 1000000
address_connects_per_s = 0
unauthenticated_connections = 1000000
unauthenticated_per_address = 1000000
[log]
level = "WARNING"
"""


def hub(
    folder: Path,
    *,
    name: str = "chappe",
    algorithm: Algorithm = "HS256",
    tls: bool = False,
    workers: int = 1,
    server: dict[str, str] | None = None,
) -> Server:
    """Return `chappe serve`, whose files are written to a folder of its own.

    Args:
        workers: how many processes; several share a NATS server that the hub starts.
        server: further settings of `[server]`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    auth, token = _key_and_token(folder, algorithm)
    settings = {**(_certificate(folder) if tls else {}), **(server or {})}
    lines = "\n".join(f'{key} = "{value}"' for key, value in settings.items())
    config = folder / "chappe.toml"
    config.write_text(_CONFIG.format(server=lines, auth=auth), encoding="utf-8")
    return Server(
        name=name,
        command=(
            *(sys.executable, "-m", "chappe", "serve", "--config", str(config), "--port", "{port}"),
            *(("--workers", str(workers)) if workers > 1 else ()),
        ),
        speech=speech((f"Authorization: Bearer {token}",)),
        version=importlib.metadata.version("chappe"),
        tls=tls,
    )


def has_data_planes() -> bool:
    """Tell whether this hub can be told which way its bytes take: native or portable."""
    return "data_plane" in ServerSettings.__struct_fields__


def speech(headers: tuple[str, ...] = ()) -> dict[Kind, dict[str, Any]]:
    """Return how each kind of load is put to a hub."""
    session: dict[str, Any] = {"path": "/ws", "headers": headers}
    subscribed = {**session, "first": (SUBSCRIBE,), "answer": _REPLY, "message": PUBLISH}
    room = {"first": (SUBSCRIBE.replace("bench", "room%r"),), "message": PUBLISH.replace("bench", "room%r")}
    return {
        "echo": {"path": "/echo", "headers": headers},
        "fanout": {**subscribed, "stream_path": "/events?channel=bench", "bystander_path": "/ws"},
        "publish": {**session, "message": PUBLISH},
        "rooms": {**subscribed, **room},
        "idle": subscribed,
    }


def _key_and_token(folder: Path, algorithm: Algorithm) -> tuple[str, str]:
    """Write a key; return the lines of `[auth]` and a token that it verifies."""
    now = datetime.datetime.now(tz=datetime.UTC)
    claims = {
        "sub": "bench",
        "aud": AUDIENCE,
        "scope": "operator",
        "exp": now + datetime.timedelta(seconds=TOKEN_TTL_S),
        "iat": now,
    }
    if algorithm == "HS256":
        secret = secrets.token_hex(32)
        _write_private(folder / "secret", secret.encode())
        lines = f'hmac_secret_file = "{folder / "secret"}"\nalgorithms = ["HS256"]'
        return lines, jwt.encode(claims, secret, algorithm="HS256")
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    return f'public_keys = ["{folder / "public.pem"}"]', jwt.encode(claims, key, algorithm="EdDSA")


def _certificate(folder: Path) -> dict[str, str]:
    """Write a certificate for 127.0.0.1, signed by itself; return the settings that name it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chappe bench")])
    now = datetime.datetime.now(tz=datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(seconds=TOKEN_TTL_S))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_private(folder / "key.pem", private)
    return {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
