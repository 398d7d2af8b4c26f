"""`chappe token`: make and read the credentials of `docs/reference/configuration.md`."""

import datetime
import json
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import click
import jwt

from chappe.auth.keys import HMAC_BYTES, PUBLIC_ALGORITHMS, prepare_pem, read_file
from chappe.auth.passwords import hash_password
from chappe.cli.credentials import (
    add_api_key,
    key_line,
    make_api_key,
    parse_ttl,
    read_private_key,
    read_secret,
)
from chappe.cli.grammar import USAGE, Failure, Group, config_option, examples, json_option
from chappe.cli.texts import T
from chappe.config import Settings, load
from chappe.model.errors import ConfigurationError


@click.group(
    "token",
    cls=Group,
    help=T["token"],
    epilog=examples("chappe token create --user ada --secret-file hub.secret --new-secret", "chappe token show -"),
)
def command() -> None:
    """Hold the subcommands."""


@command.command(
    "create",
    help=T["token_create"],
    epilog=examples(
        "chappe token create --user ada --ttl 12h --secret-file hub.secret --new-secret",
        "chappe token create --user ada --publish 'chat/+' --subscribe 'chat/#'",
        "chappe token create --user ada --private-key issuer.key --kid 2026-11 --algorithm PS256",
        "chappe token create --api --name backend --keys-file api.keys",
    ),
)
@click.option("--user", help=T["token_user"])
@click.option("--scope", "scopes", multiple=True, help=T["token_scope"])
@click.option("--subscribe", multiple=True, metavar="PATTERN", help=T["token_subscribe"])
@click.option("--publish", multiple=True, metavar="PATTERN", help=T["token_publish"])
@click.option("--info", metavar="JSON", help=T["token_info"])
@click.option("--ttl", default="1h", show_default=True, help=T["token_ttl"])
@click.option("--secret-file", metavar="FILE", help=T["token_secret_file"])
@click.option("--new-secret", is_flag=True, help=T["token_new_secret"])
@click.option("--private-key", metavar="FILE", help=T["token_private_key"])
@click.option("--algorithm", metavar="NAME", help=T["token_algorithm"])
@click.option("--kid", help=T["token_kid"])
@click.option("--api", is_flag=True, help=T["token_api"])
@click.option("--name", default="backend", show_default=True, help=T["token_name"])
@click.option("--keys-file", metavar="FILE", help=T["token_keys_file"])
@config_option
@json_option
def create(api: bool, name: str, keys_file: str | None, config_file: str | None, as_json: bool, **wanted: Any) -> None:
    """Print a token or an API key on standard output, and nothing else there."""
    settings = load(config_file, os.environ).settings
    if api:
        _create_api_key(name, keys_file or settings.api.keys_file, as_json)
        return
    claims = _claims(settings, wanted)
    key, algorithm = _signing_key(settings, wanted)
    headers = {"kid": wanted["kid"]} if wanted["kid"] else None
    token = jwt.encode(claims, key, algorithm=algorithm, headers=headers)
    click.echo(json.dumps({"token": token, "claims": claims}) if as_json else token)


def _claims(settings: Settings, wanted: dict[str, Any]) -> dict[str, Any]:
    if not wanted["user"] and not wanted["scopes"]:
        raise Failure(T["token_no_user"], USAGE)
    now = datetime.datetime.now(datetime.UTC)
    expires = now + parse_ttl(wanted["ttl"])
    claims: dict[str, Any] = {"exp": int(expires.timestamp()), "iat": int(now.timestamp()), "jti": uuid.uuid4().hex}
    claims["aud"] = _first(settings.auth.audience)
    if settings.auth.issuer:
        claims["iss"] = _first(settings.auth.issuer)
    if wanted["user"]:
        claims["sub"] = wanted["user"]
    if wanted["scopes"]:
        claims["scope"] = " ".join(wanted["scopes"])
    rights = {right: list(wanted[right]) for right in ("subscribe", "publish") if wanted[right]}
    if wanted["info"] is not None:
        rights["info"] = _json(wanted["info"])
    return claims | ({"chappe": rights} if rights else {})


def _first(names: str | tuple[str, ...]) -> str:
    return names if isinstance(names, str) else names[0]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(T["token_info_bad"].format(reason=error), USAGE) from None


def _signing_key(settings: Settings, wanted: dict[str, Any]) -> tuple[Any, str]:
    """Return the key and one of the algorithms that its kind has."""
    if wanted["private_key"]:
        key, algorithms = read_private_key(wanted["private_key"])
        return key, _algorithm(wanted["algorithm"], algorithms)
    path = wanted["secret_file"] or settings.auth.hmac_secret_file
    if not path:
        raise Failure(T["token_no_secret"], USAGE)
    algorithm = _algorithm(wanted["algorithm"], tuple(HMAC_BYTES))
    return read_secret(path, create=wanted["new_secret"], length=HMAC_BYTES[algorithm]), algorithm


def _algorithm(wanted: str | None, algorithms: Sequence[str]) -> str:
    if wanted is not None and wanted not in algorithms:
        raise Failure(T["token_algorithm_bad"].format(value=wanted, known=", ".join(algorithms)), USAGE)
    return wanted or algorithms[0]


def _create_api_key(name: str, keys_file: str, as_json: bool) -> None:
    key = make_api_key()
    line = key_line(name, key)
    if keys_file:
        add_api_key(keys_file, name, line)
    if as_json:
        click.echo(json.dumps({"key": key, "line": line, "keys_file": keys_file or None}))
        return
    click.echo(key)
    note = T["token_hash_added"].format(path=keys_file) if keys_file else T["token_hash_line"].format(line=line)
    click.echo(note, err=True)


@command.command(
    "show",
    help=T["token_show"],
    epilog=examples(
        "cat token.txt | chappe token show -",
        "chappe token show --secret-file hub.secret -",
        "chappe token show --public-key issuer.pem -",
    ),
)
@click.argument("token")
@click.option("--secret-file", metavar="FILE", help=T["token_secret_file"])
@click.option("--public-key", metavar="FILE", help=T["token_public_key"])
@json_option
def show(token: str, secret_file: str | None, public_key: str | None, as_json: bool) -> None:
    """Print header and claims; exit 1 for what is no token or fails the check asked for."""
    text = (sys.stdin.read() if token == "-" else token).strip()  # noqa: S105 - a file name, not a password
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise Failure(T["token_malformed"].format(reason=_lower(error))) from None
    click.echo(json.dumps({"header": header, "claims": claims}, ensure_ascii=False, indent=None if as_json else 2))
    click.echo(_expiry(claims), err=True)
    if secret_file is None and public_key is None:
        click.echo(T["token_unchecked"], err=True)
        return
    try:
        keys = _verifying_keys(secret_file, public_key)
        key = keys.get(header["alg"])
        if key is None:
            raise jwt.InvalidAlgorithmError(f"alg {header['alg']}, expected one of {', '.join(keys)}")
        jwt.decode(text, key, algorithms=[header["alg"]], options={"verify_aud": False})
    except jwt.PyJWTError as error:
        raise Failure(T["token_refused"].format(reason=_lower(error))) from None
    click.echo(T["token_checked"], err=True)


def _verifying_keys(secret_file: str | None, public_key: str | None) -> Mapping[str, Any]:
    """Return a key by the algorithms that it serves; it decides, and not the token."""
    if secret_file is not None:
        secret = read_secret(secret_file)
        return {name: secret for name, length in HMAC_BYTES.items() if len(secret) >= length}
    try:
        return prepare_pem("--public-key", read_file("--public-key", str(public_key)), sorted(PUBLIC_ALGORITHMS))
    except ConfigurationError as error:
        raise Failure(error.reason) from None


def _expiry(claims: dict[str, Any]) -> str:
    expires = claims.get("exp")
    if not isinstance(expires, int | float):
        return T["token_forever"]
    when = datetime.datetime.fromtimestamp(expires, datetime.UTC)
    key = T["token_expired"] if when <= datetime.datetime.now(datetime.UTC) else T["token_expires"]
    return key.format(when=f"{when:%Y-%m-%d %H:%M:%S} UTC")


def _lower(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


@command.command(
    "password",
    help=T["token_password"],
    epilog=examples("chappe token password", "pass show hub/ada | chappe token password"),
)
def password() -> None:
    """Print the hash of a password, which never appears on the command line."""
    if sys.stdin.isatty():
        text = click.prompt(T["token_password_prompt"], hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise Failure(T["token_password_empty"], USAGE)
    click.echo(hash_password(text))
