"""The hub that is measured is the whole hub: token, rights, acknowledgement, history."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from chappe.bench.comparison import measure
from chappe.bench.hub import Algorithm, has_data_planes, hub
from chappe.bench.load import LoadError, Problem
from chappe.config.settings import ServerSettings

from .serving import QUICK


@pytest.mark.slow
def test_a_hub_understands_every_load(tmp_path: Path) -> None:
    server = hub(tmp_path)
    for kind in server.speech:
        _, result = measure(server, kind, **{**QUICK, "rooms": 3 if kind == "rooms" else 1})
        assert result.opened == 3, kind
        assert (result.lost, result.repeated, result.closed) == (0, 0, 0), kind
        assert (result.deliveries > 3) is (kind != "idle"), kind


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["HS256", "EdDSA"])
def test_its_tokens_are_needed_and_good(tmp_path: Path, algorithm: Algorithm) -> None:
    server = hub(tmp_path, algorithm=algorithm)
    _, result = measure(server, "idle", **{**QUICK, "mode": "connect"})
    assert result.opened == 3
    assert result.opening_cpu_s > 0
    with pytest.raises(LoadError) as caught:
        measure(server, "idle", **{**QUICK, "mode": "connect", "headers": ()})
    assert caught.value.problem in (Problem.REFUSED, Problem.SILENT)


@pytest.mark.slow
def test_it_speaks_tls(tmp_path: Path) -> None:
    _, result = measure(hub(tmp_path, tls=True), "fanout", **QUICK)
    assert result.deliveries > 3


def test_its_files_are_private_and_its_configuration_is_toml(tmp_path: Path) -> None:
    hub(tmp_path, tls=True, server={"compression": "off"})
    config = tomllib.loads((tmp_path / "chappe.toml").read_text())
    assert config["server"]["compression"] == "off"
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("secret", "key.pem")] == [0o600, 0o600]


def test_data_planes_are_a_setting_or_not() -> None:
    assert has_data_planes() is hasattr(ServerSettings(), "data_plane")
