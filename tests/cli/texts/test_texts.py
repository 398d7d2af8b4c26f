"""Both languages have the same texts with the same parameters."""

import string

import pytest

from chappe.cli.texts import ENGLISH, FRENCH, choose


def parameters(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(ENGLISH))
def test_a_text_has_the_same_parameters_in_both_languages(key: str) -> None:
    english, french = dict(ENGLISH)[key], dict(FRENCH)[key]
    assert parameters(str(english)) == parameters(str(french))


def test_both_languages_have_the_same_keys() -> None:
    assert set(ENGLISH) == set(FRENCH)


@pytest.mark.parametrize(
    ("environ", "french"),
    [
        ({}, False),
        ({"LANG": "fr_FR.UTF-8"}, True),
        ({"LANG": "fr_CA"}, True),
        ({"LANG": "C.UTF-8"}, False),
        ({"LANG": "fr_FR", "LC_ALL": "en_US"}, False),
        ({"LANG": "en_US", "LC_MESSAGES": "fr_FR"}, True),
        ({"LANG": "fr_FR", "LC_ALL": ""}, True),
    ],
)
def test_the_locale_decides_as_posix_says(environ: dict[str, str], french: bool) -> None:
    assert (choose(environ) is FRENCH) == french
