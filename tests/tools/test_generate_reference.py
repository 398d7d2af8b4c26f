"""The reference pages are what the code says."""

from __future__ import annotations

import pytest

from chappe.config.fields import NAMED, fields_of, sections
from chappe.config.settings import LimitSettings, ServerSettings
from tools.generate_reference import ROOT, configuration_page, field_texts, main, outputs


@pytest.mark.slow
def test_generated_pages_are_current() -> None:
    for path, text in outputs().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(ROOT)}: run make generate"
    assert main(["--check"]) == 0


def test_every_setting_is_on_the_page() -> None:
    page = configuration_page()
    for section, struct in {**sections(), **{f"{table}.<name>": struct for table, struct in NAMED.items()}}.items():
        assert f"## `[{section}]`" in page
        for field in fields_of(section, struct):
            assert f"| `{field.key}` |" in page


def test_a_field_is_explained_below_it_or_in_the_model() -> None:
    assert field_texts(ServerSettings)["port"].startswith("TCP port")
    texts = field_texts(LimitSettings)
    assert texts["message_bytes"].startswith("Largest payload")
    assert texts["hook_threads"].startswith("Threads for hooks")
