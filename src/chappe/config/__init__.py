"""Read the configuration and choose implementations; the only package that names them.

May import everything below the front doors (transports, brokers, auth, telemetry, hub, model); only asgi, server, app
and the command line import it.

- settings: every section as a frozen Struct, with its defaults
- fields: the same as a table, for errors and the reference
- profiles: presets and `--dev`
- origins, errors: where a value came from, what is wrong with it
- checking: what contradicts itself, files that are missing
- loading: defaults, file, environment, flags; where each value came from
- implementations: URL to broker
- authentication: keys and services to what verifies tokens and decides
"""

from chappe.config.authentication import make_authenticator, make_authorizer, make_reader
from chappe.config.errors import SettingError
from chappe.config.implementations import make_bridges, make_broker
from chappe.config.loading import Loaded, load
from chappe.config.origins import DEFAULT, Origin
from chappe.config.settings import Settings

__all__ = [
    "DEFAULT",
    "Loaded",
    "Origin",
    "SettingError",
    "Settings",
    "load",
    "make_authenticator",
    "make_authorizer",
    "make_bridges",
    "make_broker",
    "make_reader",
]
