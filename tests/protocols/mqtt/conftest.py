"""The codecs of MQTT, as a parameter of every test that takes one."""

import pytest

from tests.protocols.mqtt.codecs import MODULES, Codec, load_codec


@pytest.fixture(scope="session", params=MODULES)
def codec(request: pytest.FixtureRequest) -> Codec:
    """Return one implementation after the other."""
    return load_codec(request.param)
