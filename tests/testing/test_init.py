"""The test kit gives its names without loading what is not asked for."""

import subprocess
import sys

import pytest

import chappe.testing


def test_every_name_of_the_kit_can_be_imported() -> None:
    for name in chappe.testing.__all__:
        assert getattr(chappe.testing, name) is not None
    assert set(chappe.testing.__all__) <= set(dir(chappe.testing))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Manager'"):
        chappe.testing.Manager  # noqa: B018


@pytest.mark.slow
def test_the_checker_loads_no_server() -> None:
    program = "import sys, chappe.testing.checker; sys.exit(any(n.startswith('uvicorn') for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
