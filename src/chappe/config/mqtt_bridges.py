"""Turn the settings of a bridge to an outside MQTT broker into one, or into what is wrong with them."""

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec

from chappe.config.settings import MqttBridgeSettings
from chappe.hub.hub import HubCore
from chappe.model.errors import ConfigurationError

if TYPE_CHECKING:
    from chappe.bridges.mqtt.address import Address
    from chappe.bridges.mqtt.bridge import MqttBridge, Options


def make_mqtt_bridge(hub: HubCore, name: str, settings: MqttBridgeSettings) -> "MqttBridge":
    """Return a bridge, not started yet.

    Raises:
        ConfigurationError: the URL, the topics or a file cannot be used, or a package is missing.
    """
    options = mqtt_bridge_options(name, settings)
    from chappe.bridges.mqtt.bridge import MqttBridge

    try:
        return MqttBridge(hub, options)
    except ConfigurationError as error:
        raise _of(name, error) from None


def mqtt_bridge_options(name: str, settings: MqttBridgeSettings) -> "Options":
    """Return what a bridge is made of; connects to nothing.

    Raises:
        ConfigurationError: the URL, the topics or the file of the password cannot be used, or a package is missing.
    """
    if importlib.util.find_spec("aiomqtt") is None:
        raise ConfigurationError(f"mqtt_bridges.{name}: it needs the package aiomqtt: pip install 'chappe[mqtt]'")
    from chappe.bridges.mqtt.bridge import Options
    from chappe.bridges.mqtt.topics import parse

    try:
        return Options(
            name=name,
            address=_address(settings),
            mappings=tuple(parse(settings.topics)),
            client_id=settings.client_id,
            reconnect_interval_ms=settings.reconnect_interval_ms,
            reconnect_max_ms=settings.reconnect_max_ms,
            outbox_messages=settings.outbox_messages,
            outbox_bytes=settings.outbox_bytes,
        )
    except ConfigurationError as error:
        raise _of(name, error) from None


def weaknesses(settings: MqttBridgeSettings) -> Iterator[Literal["mqtt_plain", "mqtt_insecure"]]:
    """Yield what a bridge gives away: `mqtt_plain` (the password, to who listens), `mqtt_insecure` (to who answers)."""
    try:
        address = _address(settings)
    except ConfigurationError:
        return
    if address.is_plain:
        yield "mqtt_plain"
    if address.tls and address.insecure:
        yield "mqtt_insecure"


def _address(settings: MqttBridgeSettings) -> "Address":
    from chappe.bridges.mqtt.address import parse, read_password

    address, topic = parse(settings.url)
    if address.password:
        raise ConfigurationError("the URL has a password, which is shown where URLs are: use password_file")
    if topic:
        raise ConfigurationError(f"the URL has a path, {topic[:80]!r}: topics belong into `topics`")
    if settings.password and settings.password_file:
        raise ConfigurationError("password and password_file are both given, expected one")
    if not address.tls and (settings.ca_file or settings.cert_file or settings.insecure_any_certificate):
        raise ConfigurationError("certificates need TLS: mqtts:// or mqtt+wss://")
    password = read_password(settings.password_file) if settings.password_file else settings.password
    username = settings.username or address.username
    if password and not username:
        raise ConfigurationError("a password needs a username")
    return msgspec.structs.replace(
        address,
        username=username,
        password=password,
        version=settings.protocol,
        ca_file=settings.ca_file,
        cert_file=settings.cert_file,
        key_file=settings.key_file,
        insecure=settings.insecure_any_certificate,
        keepalive_s=settings.keepalive_s,
    )


def _of(name: str, error: ConfigurationError) -> ConfigurationError:
    return ConfigurationError(f"mqtt_bridges.{name}: {error.reason}")
