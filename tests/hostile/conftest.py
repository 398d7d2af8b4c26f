"""The hub that the hostile tests of one module share: it must survive all of them."""

from collections.abc import Iterator

import pytest

from tests.hostile.neighbourhood import Place, served


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Serve a hub with default limits, open to everybody."""
    with served() as found:
        yield found
