"""What `chappe bench mqtt` measures: several loads in one run, and how an MQTT URL names a broker."""

from typing import Any, Final
from urllib.parse import unquote, urlsplit

import click

from chappe.bench.load import Load
from chappe.bench.mqtt import mqtt_speech
from chappe.bench.plan import Plan
from chappe.bench.servers import Kind
from chappe.cli.texts import T

#: Each load by its name: what clients do, with which QoS, and how many there are.
_LOADS: Final[dict[str, tuple[Kind, int, int]]] = {
    "fanout": ("fanout", 0, 1000),
    "fanout-qos1": ("fanout", 1, 1000),
    "one-to-one": ("pairs", 0, 100),
    "one-to-one-qos1": ("pairs", 1, 100),
    "idle": ("idle", 0, 1000),
}
LOADS: Final = tuple(_LOADS)
_DEFAULT: Final = ("fanout", "one-to-one", "one-to-one-qos1", "idle")
_PAYLOAD_BYTES: Final = 100
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
#: What a broker is told as user name beside a token; who it is stands in the token.
_USER: Final = "bench"


def mqtt_plans(wanted: dict[str, Any]) -> list[Plan]:
    """Return what is to be measured, in the order in which it was asked for.

    Raises:
        click.UsageError: no such load, or one that cannot be put with these options.
    """
    names = [name.strip() for name in wanted["loads"].split(",") if name.strip()] or list(_DEFAULT)
    for name in names:
        if name not in _LOADS:
            raise click.UsageError(T["bench_no_load"].format(name=name, names=", ".join(LOADS)))
        if wanted["rate"] and _LOADS[name][0] != "fanout":
            raise click.UsageError(T["bench_rate_fanout"])
    return [_plan(name, wanted) for name in names]


def _plan(name: str, wanted: dict[str, Any]) -> Plan:
    kind, qos, connections = _LOADS[name]
    connections = wanted["connections"] or connections
    if kind == "pairs" and connections % 2:
        raise click.UsageError(T["bench_odd"].format(connections=connections))
    fields = {
        "connections": connections,
        "payload_bytes": wanted["size"] or _PAYLOAD_BYTES,
        "seconds": wanted["seconds"],
        "rate": wanted["rate"],
        "qos": qos,
    }
    return Plan(title=f"mqtt {name}", kind=kind, fields=fields)


def mqtt_load(plan: Plan, url: str, token: str | None, pid: int | None) -> Load:
    """Return a load for a broker that runs already.

    Raises:
        click.UsageError: the URL names none.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise click.UsageError(T["bench_mqtt_url_bad"].format(url=url))
    user = unquote(parts.username or "") or (_USER if token else "")
    spoken = mqtt_speech(user, unquote(parts.password or "") or token or "")[plan.kind]
    return Load(
        mode=plan.kind,
        host=parts.hostname,
        port=parts.port or _PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        pids=(pid,) if pid else (),
        **{**spoken, **plan.fields},
    )
