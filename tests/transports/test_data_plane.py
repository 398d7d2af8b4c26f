"""The native way serves plain TCP on Linux where it was built; everything else goes the portable way."""

import sys

import pytest

from chappe.model.errors import ConfigurationError
from chappe.transports.data_plane import choose, obstacle

NATIVE = "chappe.transports.native"


def build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the extension be there, whatever was compiled here."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, NATIVE, sys)


def lose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the extension be missing, as after an installation without a compiler."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, NATIVE, None)


def test_auto_takes_the_native_plane_where_it_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    build(monkeypatch)
    assert choose("auto") == choose("native") == "native"


def test_auto_goes_the_portable_way_where_it_was_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch)
    assert choose("auto") == "portable"
    assert obstacle() == "not_built"


def test_auto_goes_the_portable_way_under_tls_and_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    build(monkeypatch)
    assert choose("auto", tls=True) == "portable"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert choose("auto") == "portable"
    assert obstacle() == "system"


def test_who_asks_for_the_portable_way_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    build(monkeypatch)
    assert choose("portable") == "portable"


def test_native_where_it_is_impossible_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch)
    with pytest.raises(ConfigurationError, match="install a C compiler"):
        choose("native")
    with pytest.raises(ConfigurationError, match="serves no TLS"):
        choose("native", tls=True)
