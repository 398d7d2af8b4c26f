"""The console tells how the bridges are, in both languages."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.bridges.mqtt.mosquitto import mosquitto, say
from tests.browser.conftest import serving
from tests.browser.visiting import chromium, visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.mark.parametrize(
    ("language", "connected", "counts", "cut"),
    [
        ("en", "Connected", "1 in, 0 out, 0 waiting, 0 dropped", "No connection"),
        ("fr", "Connectée", "1 en entrée, 0 en sortie, 0 en attente, 0 abandonnés", "Pas de connexion"),
    ],
)
async def test_the_overview_shows_a_bridge_its_counts_and_its_problem(
    tmp_path: Path, language: str, connected: str, counts: str, cut: str
) -> None:
    with mosquitto() as server:
        config = tmp_path / "chappe.toml"
        config.write_text(
            f'[mqtt_bridges.maison]\nurl = "mqtt://127.0.0.1:{server.port}"\ntopics = ["a in 1"]\n', "utf-8"
        )
        with serving(tmp_path, "chappe", "serve", "--dev", "--port", "0", "--config", str(config)) as url:
            async with chromium() as browser:
                guest = await visitor(browser, language)
                await guest.page.goto(url)
                row = guest.page.locator("[data-bridge=maison]")
                await expect(row.locator(".chip")).to_have_text(connected, timeout=20_000)
                await expect(row).to_contain_text(f"mqtt://127.0.0.1:{server.port}")
                await say(server, "a", "-q", "1", text="21")
                await expect(row).to_contain_text(counts, timeout=20_000)
                server.kill()
                await expect(row.locator(".chip")).to_have_text(cut, timeout=20_000)
                assert guest.faults == []
