"""The console's routes: pages, assets, the SDK, and what a browser may do with them."""

import gzip
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from chappe.console import build_console


@pytest.fixture
def static(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    for name, text in {
        "index.html": '<!doctype html><script src="assets/main-ABC.js"></script>',
        "apps/index.html": '<!doctype html><script src="../assets/main-ABC.js"></script>',
        "chappe.js": "export const connect = 1",
        "manifest.webmanifest": "{}",
        "assets/main-ABC.js": "main()",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(text.encode()))
    return folder


async def get(folder: Path, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    app = Starlette(routes=build_console(folder))
    fields = {"Accept-Encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://hub.test") as client:
        return await client.request(method, path, headers=fields)


async def test_the_console_is_at_the_root_and_each_application_below_apps(static: Path) -> None:
    root = await get(static, "/")
    assert (root.status_code, root.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'src="assets/' in root.text
    for name in ("chat", "client", "anything"):
        assert 'src="../assets/' in (await get(static, f"/apps/{name}")).text


async def test_a_trailing_slash_leads_to_the_application(static: Path) -> None:
    response = await get(static, "/apps/chat/")
    assert response.status_code == 307
    assert response.headers["location"].endswith("/apps/chat")


@pytest.mark.parametrize("path", ["/", "/apps/chat", "/assets/main-ABC.js", "/assets/none.js", "/chappe.js", "/none"])
async def test_every_answer_forbids_what_pages_do_not_need(static: Path, path: str) -> None:
    headers = (await get(static, path)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws: wss:"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


async def test_what_has_a_hash_is_kept_and_the_rest_is_asked_for_again(static: Path) -> None:
    assert "immutable" in (await get(static, "/assets/main-ABC.js")).headers["cache-control"]
    for path in ("/", "/apps/chat", "/chappe.js"):
        assert (await get(static, path)).headers["cache-control"] == "no-cache"


async def test_who_has_a_page_already_is_told_so(static: Path) -> None:
    first = await get(static, "/")
    again = await get(static, "/", If_None_Match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert (await get(static, "/", If_None_Match='"other"')).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "coded"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("deflate", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzipped", False),
        ("", False),
    ],
)
async def test_gzip_is_sent_to_who_takes_it(static: Path, accepted: str, coded: bool) -> None:
    response = await get(static, "/chappe.js", Accept_Encoding=accepted)
    assert (response.headers.get("content-encoding") == "gzip") is coded
    assert response.text == "export const connect = 1"
    assert response.headers["vary"] == "Accept-Encoding"


async def test_the_sdk_may_be_loaded_by_other_sites_and_the_pages_may_not(static: Path) -> None:
    sdk = await get(static, "/chappe.js")
    assert sdk.headers["content-type"] == "text/javascript; charset=utf-8"
    assert sdk.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in (await get(static, "/")).headers


async def test_files_beside_the_page_are_served(static: Path) -> None:
    response = await get(static, "/manifest.webmanifest")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/manifest+json")


@pytest.mark.parametrize(
    "path", ["/none", "/assets/none.js", "/assets/", "/assets/../index.html.gz/x", "/apps", "/assets/..%2f..%2fsecret"]
)
async def test_what_is_not_there_is_404(static: Path, path: str) -> None:
    (static.parent / "secret").write_text("secret")
    assert (await get(static, path)).status_code == 404


@pytest.mark.parametrize("path", ["/", "/apps/chat", "/chappe.js"])
async def test_while_nothing_is_built_a_page_says_what_to_do(tmp_path: Path, path: str) -> None:
    response = await get(tmp_path / "static", path)
    assert response.status_code == 503
    assert "make setup" in response.text
    assert "pages web" in response.text
    assert "<script" not in response.text
    assert not re.search(r'style="|<style', response.text)


async def test_a_head_says_what_a_get_would(static: Path) -> None:
    response = await get(static, "/", method="HEAD")
    assert response.status_code == 200
    assert (await get(static, "/", method="POST")).status_code == 405
