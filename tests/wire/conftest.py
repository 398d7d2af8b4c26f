"""The codecs, as a parameter of every test that takes one."""

import pytest

from tests.wire.codecs import MODULES, Codec, load_codec


@pytest.fixture(scope="session", params=MODULES)
def wire(request: pytest.FixtureRequest) -> Codec:
    """Return one implementation after the other."""
    return load_codec(request.param)
