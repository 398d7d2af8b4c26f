"""Put settings together from their sources and remember where each value came from.

Sources, each over the one before: defaults, preset, `--dev` profile, `chappe.toml`, environment, flags.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from chappe.config import profiles
from chappe.config.errors import SettingError
from chappe.config.fields import NAMED, SECRET_KEYS, Field, fields_of, find, section_type, sections
from chappe.config.origins import DEFAULT, Origin
from chappe.config.settings import Settings

ENVIRONMENT_PREFIX = "CHAPPE_"
DEFAULT_FILE = "chappe.toml"

#: Settings that a flag of `chappe serve` gives.
FLAGS = {
    "server.host": "--host",
    "server.port": "--port",
    "server.workers": "--workers",
    "server.root_protocol": "--root",
    "server.cert": "--cert",
    "server.key": "--key",
    "server.preset": "--preset",
    "server.dev": "--dev",
    "broker.url": "--broker",
    "mqtt.port": "--mqtt-port",
    "log.level": "--log-level",
    "log.file": "--log-file",
    "log.format": "--log-format",
}


class Loaded(msgspec.Struct, frozen=True):
    """Hold settings and, for each dotted name that is not a default, its origin."""

    settings: Settings
    origins: Mapping[str, Origin]

    def origin(self, name: str) -> Origin:
        """Return where the value of `section.key` came from."""
        return self.origins.get(name, DEFAULT)


_Layer = list[tuple[str, str, Any, Origin]]
"""Values of one source: section, key, value, origin."""

_Values = dict[str, tuple[Any, Origin]]
"""Checked values by dotted name."""


def load(
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read every source and return the settings with their origins.

    Args:
        path: the configuration file; None reads `chappe.toml` of the working directory if it is there.
        environ: variables such as `CHAPPE_SERVER__PORT`; None reads none.
        flags: dotted names to values (`{"server.port": 9000}`), texts as people type them; None means not given.

    Raises:
        SettingError: a source cannot be read, or a name or a value in it is wrong.
    """
    given = [
        *_file_layer(path),
        *_environment_layer(environ or {}),
        *_flag_layer(flags or {}),
    ]
    checked: _Values = {}
    for section, key, value, origin in given:
        checked[f"{section}.{key}"] = (_check(section, key, value, origin), origin)
    values = _preset(checked) | checked
    if "server.dev" in values and values["server.dev"][0]:
        values = profiles.dev(values)
    return Loaded(_build(values), {name: origin for name, (_, origin) in values.items()})


def _preset(checked: _Values) -> _Values:
    preset, _ = checked.get("server.preset", ("", DEFAULT))
    origin = Origin("preset", f"preset {preset}")
    return {name: (value, origin) for name, value in profiles.PRESETS[preset].items()}


def _file_layer(path: str | os.PathLike[str] | None) -> _Layer:
    if path is None and not Path(DEFAULT_FILE).is_file():
        return []
    file = Path(path if path is not None else DEFAULT_FILE)
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SettingError("no_file", str(file), value=error.strerror or str(error)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError("not_toml", str(file), value=str(error)) from None
    origin = Origin("file", str(file))
    layer: _Layer = []
    for section, table in document.items():
        if section in NAMED and isinstance(table, dict):
            for name, inner in table.items():
                layer += _table(f"{section}.{name}", inner, origin)
        else:
            layer += _table(section, table, origin)
    return layer


def _table(section: str, table: Any, origin: Origin) -> _Layer:
    if not isinstance(table, dict) or section_type(section) is None:
        raise _unknown_section(section, origin)
    if not table:
        # An empty table still makes its namespace exist, with every option at its default.
        first = next(fields_of(section, section_type(section) or Settings))
        return [(section, first.key, _default(section, first.key), origin)] if "." in section else []
    return [(section, key, value, origin) for key, value in table.items()]


def _environment_layer(environ: Mapping[str, str]) -> _Layer:
    layer: _Layer = []
    for variable in sorted(environ):
        if variable.startswith(ENVIRONMENT_PREFIX) and "__" in variable:
            *parents, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            layer.append((".".join(parents), key, _Text(environ[variable]), Origin("environment", variable)))
    return layer


def _flag_layer(flags: Mapping[str, Any]) -> _Layer:
    layer: _Layer = []
    for name, value in flags.items():
        if value is not None:
            section, _, key = name.rpartition(".")
            typed = _Text(value) if isinstance(value, str) else value
            layer.append((section, key, typed, Origin("flag", FLAGS.get(name, name))))
    return layer


class _Text(str):
    """Mark a value that has no type of its own yet, as all values of the environment and of the command line."""


def _check(section: str, key: str, value: Any, origin: Origin) -> Any:
    field = find(section, key)
    if field is None:
        raise _unknown_key(section, key, origin) if section_type(section) else _unknown_section(section, origin)
    if field.name == "server.dev" and origin.source != "flag":
        raise SettingError("dev_only_flag", origin.name, section=section, key=key)
    try:
        return msgspec.convert(_typed(value, field), field.type, strict=not isinstance(value, _Text))
    except msgspec.ValidationError:
        shown = "..." if field.key in SECRET_KEYS else _shown(value)
        raise SettingError(
            "wrong_value", origin.name, section=section, key=key, value=shown, expected=field.expected
        ) from None


def _typed(value: Any, field: Field) -> Any:
    """Read lists and switches as people write them in variables: `a, b` or `["a", "b"]`, and `on`."""
    if not isinstance(value, _Text):
        return value
    if field.expected.kind == "names" and not value.startswith("[") and "," not in value:
        return str(value)
    if field.expected.kind in ("list", "names"):
        if value.startswith("["):
            # As in the file, which is also JSON for a list of texts; what it is not stays one wrong value.
            try:
                return msgspec.json.decode(value.encode())
            except msgspec.DecodeError:
                return str(value)
        return [part.strip() for part in value.split(",") if part.strip()]
    if field.expected.kind == "switch":
        return {"on": True, "yes": True, "off": False, "no": False}.get(value.lower(), str(value))
    return str(value)


def _shown(value: Any) -> str:
    return repr(str(value)) if isinstance(value, str) else str(value)


def _unknown_key(section: str, key: str, origin: Origin) -> SettingError:
    known = [field.key for field in fields_of(section, section_type(section) or Settings)]
    return SettingError(
        "unknown_key", origin.name, section=section, key=key, suggestion=_elsewhere(key) or _nearest(key, known)
    )


def _unknown_section(section: str, origin: Origin) -> SettingError:
    known = [*sections(), *(f"{table}.<name>" for table in NAMED)]
    suggestion = f"{section}.<name>" if section in NAMED else _nearest(section, known)
    return SettingError("unknown_section", origin.name, section=section, suggestion=suggestion)


def _nearest(name: str, known: list[str]) -> str:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), "")


def _elsewhere(key: str) -> str:
    """Find a key that exists under that very name in another section."""
    return next((f"{section}.{key}" for section in sections() if find(section, key)), "")


def _default(section: str, key: str) -> Any:
    struct = section_type(section) or Settings
    return getattr(struct(), key)


def _build(values: _Values) -> Settings:
    tables: dict[str, Any] = {"namespaces": {"default": {}}}
    for name, (value, _) in values.items():
        *parents, key = name.split(".")
        if len(parents) > 2:  # the name of a namespace or user may have dots itself
            parents = [parents[0], ".".join(parents[1:])]
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
        table[key] = value
    return msgspec.convert(tables, Settings)
