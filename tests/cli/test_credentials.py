"""Secrets, keys and hashes are made with enough randomness and kept from other users."""

import datetime
import hashlib
import stat
from pathlib import Path

import click
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chappe.auth.api_keys import ApiKeys
from chappe.auth.passwords import hash_password
from chappe.cli.credentials import (
    add_api_key,
    key_line,
    make_api_key,
    parse_ttl,
    read_private_key,
    read_secret,
)
from chappe.cli.grammar import Failure
from chappe.telemetry import redact


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800)])
def test_durations_have_a_unit(text: str, seconds: int) -> None:
    assert parse_ttl(text) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "0s", "-1h", "1w", "1.5h", "12345678s", "1 h"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(Failure, match="is no duration"):
        parse_ttl(text)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_secret_has_256_bits_and_belongs_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = read_secret(str(path), create=True)
    assert len(secret) >= 43
    assert mode(path) == 0o600
    assert read_secret(str(path), create=True) == secret


def test_a_short_or_missing_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("abc\n")
    with pytest.raises(Failure, match="has 3 bytes, expected 32"):
        read_secret(str(tmp_path / "short"))
    with pytest.raises(Failure, match="cannot be read"):
        read_secret(str(tmp_path / "nowhere"))
    with pytest.raises(Failure, match="cannot be written"):
        read_secret(str(tmp_path / "no" / "where"), create=True)


def test_the_kind_of_a_private_key_decides_the_algorithm(tmp_path: Path) -> None:
    keys: dict[str, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(65537, 2048),
        "ES384": ec.generate_private_key(ec.SECP384R1()),
    }
    for algorithm, key in keys.items():
        path = tmp_path / algorithm
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        assert read_private_key(str(path))[1][0] == algorithm


def test_what_is_no_private_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "junk"
    path.write_text("junk")
    with pytest.raises(Failure, match="is not a private key in PEM"):
        read_private_key(str(path))
    other = ec.generate_private_key(ec.SECP256K1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(Failure, match="is not a private key"):
        read_private_key(str(path))


def test_an_api_key_is_known_by_its_hash_and_redacted_in_logs(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first, second = make_api_key(), make_api_key()
    add_api_key(str(path), "one", key_line("one", first))
    path.write_text(path.read_text().rstrip("\n"))
    add_api_key(str(path), "two", key_line("two", second))
    keys = ApiKeys.load(path)
    assert (keys.find(first), keys.find(second), keys.find(make_api_key())) == ("one", "two", None)
    assert mode(path) == 0o600
    assert first not in redact(f"key {first}")


def test_a_name_is_given_once_and_has_no_colon(tmp_path: Path) -> None:
    path = str(tmp_path / "keys")
    add_api_key(path, "one", key_line("one", make_api_key()))
    with pytest.raises(Failure, match="has a key named 'one'"):
        add_api_key(path, "one", key_line("one", make_api_key()))
    with pytest.raises(click.ClickException, match="expected letters"):
        key_line("a:b", make_api_key())


@pytest.mark.slow
def test_a_password_hash_carries_what_checks_it() -> None:
    first, second = hash_password("pässword"), hash_password("pässword")
    assert first != second
    name, n, r, p, salt, digest = first.split("$")
    assert name == "scrypt"
    again = hashlib.scrypt("pässword".encode(), salt=bytes.fromhex(salt), n=int(n), r=int(r), p=int(p), dklen=32)
    assert again.hex() == digest
