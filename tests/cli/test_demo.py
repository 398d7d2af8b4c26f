"""`chappe demo` is an open hub with something to show, whatever the configuration says."""

from pathlib import Path

import pytest

from .conftest import Run
from .test_serve import serving


@pytest.mark.slow
def test_the_demo_greets_in_the_lobby_and_says_how_to_join(run: Run, tmp_path: Path) -> None:
    (tmp_path / "chappe.toml").write_text("[server]\nhost = '192.0.2.1'\n")
    with serving(tmp_path, "demo") as (process, url):
        assert process.stdout is not None
        invitation = "".join(process.stdout.readline() for _ in range(3))
        assert f"chappe connect {url} --name Ada" in invitation
        hello = run("sub", "chat/lobby", "--since", "latest", "--count", "1", "--json", "--url", url).stdout
        assert '"content": "Welcome!' in hello


def test_the_demo_stays_on_this_machine(run: Run) -> None:
    result = run("demo", "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "serves this machine only" in result.stderr


def test_the_browser_is_opened_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from chappe.cli import demo

    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    demo._invite("http://127.0.0.1:1", True)
    demo._invite("http://127.0.0.1:1", False)
    assert opened == ["http://127.0.0.1:1"]
    assert "chappe pub chat/lobby hello" in capsys.readouterr().out
