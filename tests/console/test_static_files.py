"""Files of the console: from their folder only, as they are on the disk now."""

import gzip
from pathlib import Path

import pytest

from chappe.console.static_files import StaticFiles, media_type


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>")
    (static / "assets" / "main-ABC.js").write_text("1")
    (static / "assets" / "main-ABC.js.gz").write_bytes(gzip.compress(b"1"))
    (tmp_path / "secret.txt").write_text("secret")
    return static


def test_a_file_is_found_with_its_type(folder: Path) -> None:
    found = StaticFiles(folder).find("index.html", False)
    assert found is not None
    assert (found.content, found.media_type, found.encoding) == (b"<!doctype html>", "text/html; charset=utf-8", "")


def test_who_takes_gzip_gets_what_was_compressed_before(folder: Path) -> None:
    files = StaticFiles(folder)
    found = files.find("assets/main-ABC.js", True)
    assert found is not None
    assert (gzip.decompress(found.content), found.encoding) == (b"1", "gzip")
    assert found.media_type == "text/javascript; charset=utf-8"
    plain = files.find("assets/main-ABC.js", False)
    assert plain is not None
    assert plain.content == b"1"
    assert plain.tag != found.tag


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "..",
        "../secret.txt",
        "assets/../../secret.txt",
        "assets/..",
        "assets",
        "assets/",
        "/etc/passwd",
        "//etc/passwd",
        "..\\secret.txt",
        "C:\\windows",
        ".hidden",
        "assets/.hidden",
        "index.html\x00.js",
        "index.html ",
        "é.js",
        "x" * 200,
        "a/" * 500,
        "out.txt",
        "inside",
    ],
)
def test_nothing_outside_is_found(folder: Path, path: str) -> None:
    (folder / ".hidden").write_text("hidden")
    (folder / "out.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "inside").mkdir()
    assert StaticFiles(folder).find(path, False) is None
    assert StaticFiles(folder).find(path, True) is None


def test_a_file_that_changes_is_read_again_and_one_that_goes_is_gone(folder: Path) -> None:
    files = StaticFiles(folder)
    first = files.find("index.html", False)
    assert files.find("index.html", False) is first
    (folder / "index.html").write_text("<!doctype html>newer")
    second = files.find("index.html", False)
    assert first is not None
    assert second is not None
    assert (second.content, second.tag != first.tag) == (b"<!doctype html>newer", True)
    (folder / "index.html").unlink()
    assert files.find("index.html", False) is None


def test_a_folder_that_is_built_later_is_found_later(tmp_path: Path) -> None:
    files = StaticFiles(tmp_path / "static")
    assert files.find("index.html", True) is None
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "index.html").write_text("now")
    assert files.find("index.html", True) is not None


def test_types_do_not_depend_on_the_machine() -> None:
    assert media_type("a.js") == "text/javascript; charset=utf-8"
    assert media_type("a.webmanifest") == "application/manifest+json"
    assert media_type("a.unheard-of") == "application/octet-stream"
