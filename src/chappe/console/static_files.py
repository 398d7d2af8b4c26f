"""The files of the built console, read from one folder and from nowhere else."""

import mimetypes
import re
from pathlib import Path
from typing import Final

import msgspec

#: One segment of a path: no separators, no leading dot, no drive, so that no request leaves the folder.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
#: Said by us and not by the machine: /etc/mime.types differs, and a browser runs no script of another type.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


class StaticFile(msgspec.Struct, frozen=True):
    """One file as it is sent.

    Attributes:
        tag: changes when the content does.
        encoding: `gzip`, or empty.
    """

    content: bytes
    media_type: str
    tag: str
    encoding: str


class StaticFiles:
    """Finds files and keeps them in memory until they change; the folder may be built while the hub runs."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; it need not exist yet."""
        self._folder = folder
        self._kept: dict[Path, tuple[tuple[int, int], StaticFile]] = {}

    def find(self, path: str, gzip: bool) -> StaticFile | None:
        """Return a file, or None.

        Args:
            path: below the folder, with slashes.
            gzip: the client takes gzip: a `.gz` beside the file is sent in its place.
        """
        segments = path.split("/")
        if not all(_SEGMENT.fullmatch(segment) for segment in segments):
            return None
        file = self._folder.joinpath(*segments)
        if gzip and (found := self._read(file.with_name(f"{file.name}.gz"), media_type(path), "gzip")):
            return found
        return self._read(file, media_type(path), "")

    def _read(self, file: Path, kind: str, encoding: str) -> StaticFile | None:
        try:
            status = file.stat()
            changed = (status.st_mtime_ns, status.st_size)
            kept = self._kept.get(file)
            if kept is not None and kept[0] == changed:
                return kept[1]
            # A link out of the folder would serve what was never built.
            if not file.is_file() or not file.resolve().is_relative_to(self._folder.resolve()):
                return None
            found = StaticFile(file.read_bytes(), kind, f'"{changed[0]:x}-{changed[1]:x}"', encoding)
        except OSError:
            return None
        self._kept[file] = (changed, found)
        return found


def media_type(path: str) -> str:
    """Return the media type that a name's ending says."""
    ending = Path(path).suffix.lower()
    return _TYPES.get(ending) or mimetypes.guess_type(path)[0] or "application/octet-stream"
