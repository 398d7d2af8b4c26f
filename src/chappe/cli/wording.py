"""Word what lower layers report as data in the user's language."""

from chappe.cli.texts import T, Texts
from chappe.config.errors import SettingError
from chappe.config.fields import Expected


def word_setting_error(error: SettingError, texts: Texts = T) -> str:
    """Return one line about a setting that cannot be used."""
    name = f"[{error.section}] {error.key}".strip()
    templates = {
        "unknown_key": texts["setting_unknown_key"],
        "unknown_section": texts["setting_unknown_section"],
        "wrong_value": texts["setting_wrong_value"],
        "not_toml": texts["setting_not_toml"],
        "no_file": texts["setting_no_file"],
        "dev_only_flag": texts["setting_dev_only_flag"],
        "dev_loopback": texts["setting_dev_loopback"],
    }
    expected = word_expected(error.expected, texts) if error.expected else ""
    text = templates[error.problem].format(
        where=error.where, name=name, section=error.section, value=error.value, expected=expected
    )
    return texts["did_you_mean"].format(text=text, suggestion=error.suggestion) if error.suggestion else text


def word_expected(expected: Expected, texts: Texts = T) -> str:
    """Return what a value should have been."""
    kinds = {
        "whole": texts["expect_whole"],
        "number": texts["expect_number"],
        "switch": texts["expect_switch"],
        "text": texts["expect_text"],
        "list": texts["expect_list"],
        "names": texts["expect_names"],
    }
    if expected.kind == "choice":
        return texts["expect_choice"].format(choices=", ".join(f'"{choice}"' for choice in expected.choices))
    kind = kinds[expected.kind]
    if expected.low is not None and expected.high is not None:
        return texts["expect_range"].format(kind=kind, low=expected.low, high=expected.high)
    return kind if expected.low is None else texts["expect_at_least"].format(kind=kind, low=expected.low)
