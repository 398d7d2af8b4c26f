"""What is fuzzed: one function for each parser that takes bytes of strangers. Any exception is a finding.

Each knows more than "it does not crash": what comes out is within its limits, and the same however the bytes came.
"""

import base64
import hmac
import importlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from chappe.auth.exchange import Unreachable, check_url
from chappe.auth.jwks import NoKeySet, read_key_set
from chappe.auth.jwt import JwtAuthenticator, JwtOptions, read_issuer
from chappe.auth.keys import PUBLIC_ALGORITHMS
from chappe.auth.passwords import PasswordHash
from chappe.auth.token_webhook import read_answer
from chappe.config import SettingError, load
from chappe.config.authentication import make_reader
from chappe.model.channels import check_channel, check_pattern, is_pattern, pattern_matches, patterns_intersect
from chappe.model.errors import ChappeError, ConfigurationError, RemoteProtocolError
from chappe.model.limits import Limits
from chappe.protocols import base
from chappe.protocols.chappe import ChappeProtocol, JsonEncoder, MsgpackEncoder
from chappe.protocols.classic import ClassicEncoder, ClassicProtocol
from chappe.protocols.mqtt import codec_pure as mqtt_pure
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import Connect, Packet, Version
from chappe.protocols.mqtt.reader import decode
from chappe.protocols.mqtt.reason_codes import MqttError
from chappe.protocols.sse.cursor import parse_cursor
from chappe.transports.credentials import CredentialReader, csrf_token
from chappe.transports.upgrade import (
    Gate,
    Rejected,
    Request,
    bearer_token,
    check_handshake,
    first_values,
    language_of,
    negotiate_deflate,
)
from chappe.wire import websocket_pure
from chappe.wire.deflate import InflateError, compress, inflate, negotiate

LIMIT: Final = 2_000
_LIMITS: Final = Limits()


def _pieces(control: bytes, data: bytes) -> Iterator[bytes]:
    """Cut bytes as other bytes say."""
    at = 0
    for step in control:
        yield data[at : at + step]
        at += step
    yield data[at:]


def _events(module: Any, pieces: Iterator[bytes] | list[bytes], deflate: bool) -> list[object]:
    codec = module.WebSocketCodec(LIMIT, inflate if deflate else None)
    messages, sent = [], b""
    for piece in pieces:
        messages += codec.receive(piece)
        sent += codec.data_to_send()
    assert all(len(payload) <= LIMIT for payload, _ in messages)
    for payload, text in messages:
        if text:
            payload.decode()
    told = None if codec.ended else (codec.frames_in, codec.pings_in, codec.is_within_message)
    return [messages, sent, codec.ended, codec.close_code, told]


def _codec(module: Any, data: bytes) -> list[object]:
    """Take frames whole and cut; the first byte says how."""
    if not data:
        return []
    deflate, cuts = bool(data[0] & 1), data[0] >> 4
    control, rest = data[1 : 1 + cuts], data[1 + cuts :]
    whole = _events(module, [rest], deflate)
    assert _events(module, _pieces(control, rest), deflate) == whole
    return whole


def codec_pure(data: bytes) -> None:
    """Read frames with the codec in Python."""
    _codec(websocket_pure, data)


def codec_native(data: bytes) -> None:
    """Read frames with the native codec; its twin must do the same."""
    native = importlib.import_module("chappe.wire._websocket")
    assert _codec(native, data) == _codec(websocket_pure, data)


def deflate_offers(data: bytes) -> None:
    """Read a `Sec-WebSocket-Extensions` header."""
    try:
        deflate = negotiate(data.decode("latin-1"))
    except ValueError:
        return
    assert deflate is None or deflate.answer.startswith("permessage-deflate; server_no_context_takeover; ")


def deflate_messages(data: bytes) -> None:
    """Inflate anything; what was compressed comes back."""
    for limit in (0, LIMIT, 100_000):
        try:
            assert len(inflate(data, limit)) <= limit
        except InflateError as error:
            assert error.close_code in (1002, 1008, 1009)
    assert inflate(compress(data), len(data)) == data


def _commands(protocol: Any, payload: bytes, text: bool) -> None:
    try:
        commands = protocol.receive(payload, text)
    except RemoteProtocolError:
        return
    commands = [*commands]
    assert len(commands) <= _LIMITS.batch_commands
    for command in commands:
        if isinstance(command, base.Rejected):
            # It is sent to the peer as it is.
            json.dumps(command.error.detail, default=str)


def chappe_json(data: bytes) -> None:
    """Decode chappe.v1 in JSON."""
    _commands(ChappeProtocol(_LIMITS, JsonEncoder()), data, True)


def chappe_msgpack(data: bytes) -> None:
    """Decode chappe.v1 in MessagePack."""
    _commands(ChappeProtocol(_LIMITS, MsgpackEncoder(), msgpack=True), data, False)


def classic(data: bytes) -> None:
    """Decode classic, before and after the login."""
    protocol = ClassicProtocol(_LIMITS, ClassicEncoder())
    for text in (True, False):
        _commands(protocol, data, text)
    protocol.opened("Ada")
    protocol.entered("chat/lobby")
    for text in (True, False):
        _commands(protocol, data, text)


def upgrade(data: bytes) -> None:
    """Judge a handshake: a line with path and query, then header fields."""
    head, *lines = data.decode("latin-1").split("\n")
    path, _, query = head.partition("?")
    fields = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    try:
        values = first_values(query)
    except ValueError:
        return
    request = Request(method="GET", path=path, query=values, headers=headers, address="127.0.0.1")
    assert language_of(request, "en") in ("en", "fr")
    bearer_token(request)
    for step in (Gate().check, Gate(hosts=frozenset({"a"})).check, check_handshake, negotiate_deflate):
        try:
            step(request)
        except Rejected as rejected:
            assert 400 <= rejected.status < 500


def channels(data: bytes) -> None:
    """Check names, and match them; two of them on two lines."""
    one, _, other = data.decode("utf-8", "surrogateescape").partition("\n")
    for check in (check_channel, check_pattern):
        try:
            check(one)
        except ChappeError as error:
            assert error.code == 107
            return
    assert not is_pattern(one)
    assert pattern_matches(one, one)
    try:
        check_pattern(other)
    except ChappeError:
        return
    if pattern_matches(other, one):
        assert patterns_intersect(other, one)


def sse_cursor(data: bytes) -> None:
    """Read the cursor of a stream."""
    places = parse_cursor(data.decode("latin-1"))
    assert places is None or all(len(key) == 8 for key in places)
    msgspec.json.encode(places)


#: The least CONNECT of each version.
_CONNECTS: Final = {
    Version.V3_1_1: b"\x10\x0d\0\4MQTT\4\2\0\0\0\1x",
    Version.V5: b"\x10\x0e\0\4MQTT\5\2\0\0\0\0\1x",
}


def _mqtt_reader(module: Any, control: int) -> Any:
    """Return a reader: two bits say whether of a server, before or behind CONNECT, or a client; a third the version."""
    version = Version.V5 if control & 4 else Version.V3_1_1
    if control & 3 == 3:
        return module.PacketReader(LIMIT, version)
    reader = module.PacketReader(LIMIT)
    if control & 3:
        reader.feed(_CONNECTS[version])
    return reader


def _mqtt_events(
    module: Any, control: int, pieces: Iterator[bytes] | list[bytes]
) -> tuple[list[Packet], object, object]:
    reader = _mqtt_reader(module, control)
    packets = [packet for piece in pieces for packet in reader.feed(piece)]
    error = reader.error
    return packets, None if error is None else (error.reason_code, error.reason), reader.version


def mqtt_packets(data: bytes) -> None:
    """Read packets of MQTT with both codecs, whole and cut; what they make of them is written and read again."""
    if not data:
        return
    cuts = data[0] >> 4
    control, rest = data[1 : 1 + cuts], data[1 + cuts :]
    native = importlib.import_module("chappe.protocols.mqtt._codec")
    whole = _mqtt_events(mqtt_pure, data[0], [rest])
    for module in (mqtt_pure, native):
        assert _mqtt_events(module, data[0], [rest]) == whole
        assert _mqtt_events(module, data[0], _pieces(control, rest)) == whole
    packets, _, version = whole
    for packet in packets:
        level = packet.version if isinstance(packet, Connect) else version
        assert isinstance(level, Version)
        assert decode(encode(packet, level), level) == packet


def mqtt_packet(data: bytes) -> None:
    """Decode one packet of either side and version."""
    for version in Version:
        try:
            packet = decode(data, version)
        except MqttError:
            continue
        level = packet.version if isinstance(packet, Connect) else version
        assert decode(encode(packet, level), level) == packet


_SECRET: Final = b"0123456789abcdef0123456789abcdef"
_TOKENS: Final = JwtAuthenticator(JwtOptions(algorithms=("HS256",), hmac_secret=_SECRET))


def token(data: bytes) -> None:
    """Verify a token as it is, and its claims as if we had signed them."""
    body = base64.urlsafe_b64encode(data).rstrip(b"=")
    head = b"eyJhbGciOiJIUzI1NiJ9." + body
    signature = base64.urlsafe_b64encode(hmac.digest(_SECRET, head, "sha256")).rstrip(b"=")
    for text in (data.decode("latin-1"), (head + b"." + signature).decode()):
        read_issuer(text)
        try:
            claims = _TOKENS.verify(text, 1_000.0)
        except ChappeError as error:
            assert error.code in (101, 109)
            continue
        assert claims.user or claims.scopes
        assert claims.expires_at is not None
        assert claims.expires_at > 1_000.0
        msgspec.json.encode(msgspec.to_builtins(claims))


def key_set(data: bytes) -> None:
    """Read a set of keys."""
    try:
        keys, _ = read_key_set(data, sorted(PUBLIC_ALGORITHMS))
    except NoKeySet:
        return
    assert keys
    assert all(set(key.prepared) <= PUBLIC_ALGORITHMS for key in keys)


_READER: Final = CredentialReader(cookie_name="session", origins=frozenset({"https://app.example"}))


def credentials(data: bytes) -> None:
    """Find the credential of a request: a line for its query, then its headers."""
    first, *rest = data.decode("latin-1").split("\n")
    try:
        query = first_values(first)
    except ValueError:
        return
    fields = dict(line.partition(":")[::2] for line in rest)
    for method in ("GET", "POST"):
        request = Request(
            method=method,
            path="/poll",
            query=query,
            headers={"origin": "https://app.example", **fields},
            address="",
        )
        try:
            found = _READER.read(request)
        except ChappeError as error:
            assert error.code == 101
            continue
        if found is not None and "authorization" not in fields and "ticket" not in request.query:
            assert found in fields["cookie"]
            assert method == "GET" or fields["chappe-csrf"] == csrf_token(found)


def service_answer(data: bytes) -> None:
    """Read what a service says of a token."""
    try:
        claims = read_answer(200, data, 1_000.0)
    except Unreachable:
        return
    assert claims.user or claims.scopes
    assert claims.expires_at is not None
    assert claims.issued_at == 1_000.0


_CONFIGURATION: Final = Path(tempfile.mkdtemp(prefix="chappe-fuzz-")) / "chappe.toml"


def configuration(data: bytes) -> None:
    """Read a configuration as a file, and its lines as variables of the environment."""
    _CONFIGURATION.write_bytes(data)
    lines = data.decode("utf-8", "replace").splitlines()
    environ = {f"CHAPPE_{name}": value for name, _, value in (line.partition("=") for line in lines)}
    for path, variables in ((_CONFIGURATION, {}), (os.devnull, environ)):
        try:
            settings = load(path, variables).settings
            settings.limits.limits()
            settings.hub_namespaces()
            make_reader(settings)
            for name in ("jwks_url", "webhook_url", "authorize_url"):
                check_url(f"auth.{name}", getattr(settings.auth, name) or "https://localhost/", False)
            for user in settings.users.values():
                PasswordHash.parse(user.password_hash)
        except (SettingError, ConfigurationError) as error:
            assert str(error)


HARNESSES: Final[dict[str, Callable[[bytes], None]]] = {
    harness.__name__: harness
    for harness in (
        codec_pure,
        codec_native,
        deflate_offers,
        deflate_messages,
        chappe_json,
        chappe_msgpack,
        classic,
        upgrade,
        channels,
        sse_cursor,
        mqtt_packets,
        mqtt_packet,
        token,
        key_set,
        credentials,
        service_answer,
        configuration,
    )
}
