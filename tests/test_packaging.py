"""The packages as users get them: sdist, wheel made from it without Node, installed in a clean environment, serving."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# Where a reader of the docs would go first; every page they link to is opened as well.
ENTRIES = ("/", "/chappe.js", "/healthz", "/readyz", "/metrics", "/version", "/openapi.json")

# What proves that a package is whole: the built console, the SDK, the types.
EXPECTED_FILES = ("chappe/console/static/index.html", "chappe/console/static/chappe.js", "chappe/py.typed")

NODE_COMMANDS = {"node", "nodejs", "npm", "npx"}


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def environment_without_node(folder: Path) -> dict[str, str]:
    """Make an environment whose PATH has every command but Node's."""
    folder.mkdir()
    for each in reversed(os.environ["PATH"].split(os.pathsep)):
        for command in Path(each).iterdir() if Path(each).is_dir() else ():
            link = folder / command.name
            if command.name not in NODE_COMMANDS:
                link.unlink(missing_ok=True)
                link.symlink_to(command)
    environment = {**os.environ, "PATH": str(folder)}
    environment.pop("CHAPPE_BUILD_WEB", None)
    assert shutil.which("npm", path=str(folder)) is None
    return environment


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packaging")


@pytest.fixture(scope="module")
def without_node(work: Path) -> dict[str, str]:
    return environment_without_node(work / "bin")


@pytest.fixture(scope="module")
def sdist(work: Path) -> Path:
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(work / "dist"), str(ROOT), cwd=work)
    (path,) = (work / "dist").glob("*.tar.gz")
    return path


def unpack(archive: Path, target: Path) -> None:
    """Unpack what this test made."""
    # Debian's Python 3.11 has no filters.
    safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as opened:
        opened.extractall(target, **safely)


@pytest.fixture(scope="module")
def wheel(work: Path, sdist: Path, without_node: dict[str, str]) -> Path:
    unpack(sdist, work / "source")
    (source,) = (work / "source").iterdir()
    out = str(work / "dist")
    run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        out,
        str(source),
        cwd=work,
        env=without_node,
    )
    (path,) = (work / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(work: Path, wheel: Path) -> Path:
    """Install the wheel in a clean environment that borrows the dependencies of this one; return its bin folder."""
    run(sys.executable, "-m", "venv", "--without-pip", str(work / "venv"), cwd=work)
    python = work / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel), cwd=work)
    (site_packages,) = (work / "venv" / "lib").glob("python*/site-packages")
    # A path in a .pth file lends packages, but not the editable install of this tree, which is itself a .pth file.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python.parent


@pytest.fixture(scope="module")
def url(work: Path, installed: Path, without_node: dict[str, str]) -> Iterator[str]:
    """Run `chappe demo` from the installed wheel on a free port; yield its address."""
    output = work / "demo.log"
    environment = {**without_node, "LANG": "C.UTF-8", "HOME": str(work)}
    with output.open("w", encoding="utf-8") as log:
        command = [str(installed / "chappe"), "demo", "--port", "0"]
        process = subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield wait_for_address(process, output)
    finally:
        process.terminate()
        process.wait(timeout=15)


def wait_for_address(process: subprocess.Popen[bytes], output: Path) -> str:
    while True:
        if found := re.search(r"http://127\.0\.0\.1:[1-9]\d*", output.read_text(encoding="utf-8")):
            return found[0]
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"chappe demo ended with {process.returncode}: {output.read_text(encoding='utf-8')}")


class Links(HTMLParser):
    """Collects what a page loads and links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in {"href", "src"} and value]


def links_of(page: httpx.Response) -> set[str]:
    """List the addresses on the same server that a page names, without fragment."""
    if "html" not in page.headers["content-type"]:
        return set()
    links = Links()
    links.feed(page.text)
    here = urlsplit(str(page.url)).netloc
    parts = [urlsplit(urljoin(str(page.url), link)) for link in links.found]
    return {part._replace(fragment="").geturl() for part in parts if part.netloc == here and part.scheme == "http"}


def files_of_the_package() -> list[Path]:
    """List the source files a wheel must carry: all but what is compiled or left by a build."""
    left_out = {".pyc", ".c", ".so"}
    paths = (ROOT / "src" / "chappe").rglob("*")
    return [path for path in paths if path.is_file() and path.suffix not in left_out and path.name != ".built"]


def native_sources() -> list[Path]:
    """List what the extensions are made of, with their types."""
    package = ROOT / "src" / "chappe"
    return [path for suffix in ("pyx", "pxd", "pxi", "pyi", "h") for path in package.rglob(f"*.{suffix}")]


def read_from(sdist: Path, name: str) -> str:
    """Return the beginning of a file of the sdist."""
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(f"{sdist.name.removesuffix('.tar.gz')}/{name}")
        assert member is not None
        return member.read(200).decode(errors="replace")


def test_the_sdist_holds_the_built_console_and_no_build_leftovers(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in EXPECTED_FILES} <= names
    assert {"spec/errors.toml", "tools/build_web.py", "LICENSE", "README.md", "CHANGELOG.md"} <= names
    assert {path.relative_to(ROOT).as_posix() for path in native_sources()} <= names
    assert not [name for name in names if "node_modules" in name or name.endswith((".pyc", ".so", ".built"))]
    # What Cython wrote is made anew where it is compiled.
    assert not [name for name in names if name.endswith(".c") and "Cython" in read_from(sdist, name)]


def test_a_wheel_made_from_the_sdist_needs_no_node(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert set(EXPECTED_FILES) <= names
    assert {path.relative_to(ROOT / "src").as_posix() for path in files_of_the_package()} <= names
    assert not [name for name in names if not name.startswith(("chappe/", "chappe-"))]


def test_the_installed_package_is_the_wheels(installed: Path, work: Path) -> None:
    program = "import chappe, sys; print(chappe.__file__)"
    where = subprocess.run([installed / "python", "-c", program], cwd=work, capture_output=True, text=True, check=True)
    assert Path(where.stdout.strip()).is_relative_to(installed.parent)


def test_every_page_opens_and_so_does_all_that_it_links_to(url: str) -> None:
    waiting, seen, broken = [url + path for path in ENTRIES], set[str](), list[str]()
    with httpx.Client() as client:
        while waiting:
            address = waiting.pop()
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address, headers={"accept": "text/html,*/*"}, follow_redirects=True)
            if answer.status_code != httpx.codes.OK or not answer.content:
                broken.append(f"{answer.status_code} {address}")
            waiting += links_of(answer) - seen
    assert not broken
    assert len(seen) > len(ENTRIES)


def test_without_a_compiler_it_installs_and_the_pure_twins_serve(
    work: Path, sdist: Path, installed: Path, without_node: dict[str, str]
) -> None:
    unpack(sdist, work / "uncompiled")
    (source,) = (work / "uncompiled").iterdir()
    target = work / "pure"
    command = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(target))
    run(sys.executable, *command, str(source), cwd=work, env={**without_node, "CC": "/bin/false"})
    assert not list(target.rglob("*.so"))
    # The packages of this environment, but the hub that was just installed.
    environment = {**os.environ, "PYTHONPATH": str(target), "LANG": "C"}
    doctor = [str(installed / "python"), "-m", "chappe", "doctor", "--json"]
    done = subprocess.run(doctor, cwd=work, env=environment, capture_output=True, text=True, check=False)
    found = {finding["check"]: finding for finding in json.loads(done.stdout)}
    for check in ("codec", "data plane"):
        assert found[check]["state"] == "warning"
        assert "install a C compiler" in found[check]["next_step"]
