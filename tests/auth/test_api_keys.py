"""API keys: found by their hash, told from each other, and a broken file stops the start with its line."""

import hashlib
from pathlib import Path

import pytest

from chappe.auth.api_keys import ApiKeys
from chappe.model.errors import ConfigurationError

KEY = "chappe_q5Yk0v1H4dW8mXrJt2nZbA7cPfEo3uLs"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "api.keys"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def line(name: str, key: str) -> str:
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def test_a_key_of_the_file_names_its_backend(tmp_path: Path) -> None:
    text = f"# two backends\n\n{line('shop', KEY)}\n{line('billing', 'chappe_other')}  # since March\n"
    keys = ApiKeys.load(written(tmp_path, text))
    assert len(keys) == 2
    assert keys.find(KEY) == "shop"
    assert keys.find("chappe_other") == "billing"


@pytest.mark.parametrize("key", ["", "chappe_", KEY[:-1], KEY + "x", KEY.upper(), "\ud800", "é", "x" * 100_000])
def test_any_other_text_is_nobodys_key(tmp_path: Path, key: str) -> None:
    assert ApiKeys.load(written(tmp_path, line("shop", KEY))).find(key) is None


def test_the_hash_itself_is_no_key(tmp_path: Path) -> None:
    keys = ApiKeys.load(written(tmp_path, line("shop", KEY)))
    assert keys.find(hashlib.sha256(KEY.encode()).hexdigest()) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("shop", "line 1: expected name:sha256hex"),
        (f"{line('a', KEY)}\nshop:abcd", "line 2: expected"),
        ("a b:" + "0" * 64, "line 1: expected"),
        (f"{line('a', KEY)}\n{line('a', 'other')}", "line 2: 'a' is there already"),
        (b"\xff\xfe", "is no UTF-8 text"),
    ],
)
def test_a_broken_file_is_refused_with_the_line_and_without_its_content(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ApiKeys.load(written(tmp_path, text))
    assert problem in caught.value.reason
    assert "abcd" not in caught.value.reason


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ApiKeys.load(tmp_path / "nowhere.keys")
