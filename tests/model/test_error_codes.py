"""The table of codes as programs and users meet it."""

from __future__ import annotations

import pytest

from chappe.model.error_codes import ERRORS, Code, reason

# Other programs compare these with what they receive.
FRENCH_WORD_FOR_WORD = {
    Code.MESSAGE_TOO_LARGE: "Message trop volumineux",
    Code.NAME_IN_USE: "Ce nom d'utilisateur est déjà utilisé",
    Code.SERVICE_NOT_AVAILABLE: "Service non disponible",
    Code.BAD_SERVICE_REQUEST: "Format de requête invalide",
}

FIXED_NUMBERS = {
    *(101, 102, 103, 104, 105, 106, 107, 108, 109, 111, 112, 113, 114, 115, 116, 117, 118, 120, 121, 122, 123),
    *(3001, 3005, 3008, 3010, 3012, 3500, 3501, 3502, 3503, 3504, 4509),
}


def test_every_fixed_number_is_in_the_table() -> None:
    assert set(ERRORS) >= FIXED_NUMBERS


def test_codes_and_table_hold_the_same() -> None:
    assert {code.value: code.name for code in Code} == {code: info.name for code, info in ERRORS.items()}


@pytest.mark.parametrize(("code", "text"), FRENCH_WORD_FOR_WORD.items())
def test_french_texts_that_are_fixed_stay_so_whatever_is_known(code: Code, text: str) -> None:
    assert reason(code, "fr") == text
    assert reason(code, "fr", name="Ada", service="billing", limit=10240) == text


def test_an_unknown_service_is_named() -> None:
    assert reason(Code.UNKNOWN_SERVICE, "fr", name="billing") == "Service inconnu: billing"
    assert reason(Code.UNKNOWN_SERVICE, "en", name="billing") == "unknown service: billing"


def test_without_its_parameters_a_text_is_the_short_one() -> None:
    assert reason(Code.UNKNOWN_SERVICE, "fr") == "Service inconnu"
    assert reason(Code.PERMISSION_DENIED, channel="news") == "permission denied"


def test_the_text_that_says_most_is_chosen() -> None:
    assert reason(Code.BAD_REQUEST, field="content") == "bad request: field content is missing or invalid"
    told = reason(Code.BAD_REQUEST, field="content", actual="a number", expected="text")
    assert told == "bad request: field content is a number, expected text"


def test_braces_in_a_value_are_not_read_as_parameters() -> None:
    assert reason(Code.UNKNOWN_COMMAND, type="{code.__class__}") == "unknown command {code.__class__}"


@pytest.mark.parametrize("language", ["fr", "FR", "fr-CA", "fr_FR.UTF-8"])
def test_any_tag_of_french_is_french(language: str) -> None:
    assert reason(Code.CONFLICT, language) == "Conflit"


@pytest.mark.parametrize("language", ["en", "de", "", "*"])
def test_any_other_language_is_answered_in_english(language: str) -> None:
    assert reason(Code.CONFLICT, language) == "conflict"


@pytest.mark.parametrize(
    ("codes", "retry"),
    [
        (range(2000, 2500), False),
        (range(2500, 3000), True),
        (range(3000, 3500), True),
        (range(3500, 4000), False),
        (range(4000, 4500), True),
        (range(4500, 5000), False),
    ],
)
def test_the_range_of_a_number_decides_whether_to_try_again(codes: range, retry: bool) -> None:
    assert all(info.retry is retry for code, info in ERRORS.items() if code in codes)


def test_english_texts_are_lower_case_without_a_final_stop() -> None:
    texts = [text for info in ERRORS.values() for text in (info.text_en, *info.texts_en)]
    assert not [text for text in texts if text[0].isupper() or text.endswith(".")]


def test_every_error_of_the_hub_has_an_http_status() -> None:
    assert all(info.http_status for code, info in ERRORS.items() if code < 1000)


def test_a_code_outside_the_table_has_no_text() -> None:
    with pytest.raises(KeyError):
        reason(1500)
