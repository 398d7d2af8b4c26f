"""Wrong settings are worded in both languages."""

import pytest

from chappe.cli.texts import ENGLISH, FRENCH
from chappe.cli.wording import word_expected, word_setting_error
from chappe.config.errors import SettingError
from chappe.config.fields import Expected

PORT = SettingError(
    "wrong_value",
    "CHAPPE_SERVER__PORT",
    section="server",
    key="port",
    value="'x'",
    expected=Expected("whole", 0, 65535),
)


def test_a_wrong_value_in_english_and_french() -> None:
    assert word_setting_error(PORT, ENGLISH) == f"{PORT}"
    assert word_setting_error(PORT, FRENCH) == (
        "CHAPPE_SERVER__PORT : [server] port = 'x', attendu un nombre entier de 0 à 65535"
    )


@pytest.mark.parametrize(
    ("expected", "english", "french"),
    [
        (Expected("choice", choices=("a", "b")), 'one of "a", "b"', 'l\'un de "a", "b"'),
        (Expected("number", 0), "a number of at least 0", "un nombre d'au moins 0"),
        (Expected("switch"), "true or false", "true ou false"),
        (Expected("list"), "a list of texts", "une liste de textes"),
        (Expected("text"), "text", "du texte"),
    ],
)
def test_what_was_expected_in_english_and_french(expected: Expected, english: str, french: str) -> None:
    assert word_expected(expected, ENGLISH) == english == str(expected)
    assert word_expected(expected, FRENCH) == french
