"""The routes of the console: its page, its assets, the SDK."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chappe.console.static_files import StaticFile, StaticFiles
from chappe.transports.upgrade import tokens

#: Scripts and styles come from the hub itself; connections also go elsewhere, since the console connects to any server.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self' ws: wss:",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
#: A name with a hash in it never changes its content; a page is asked for again each time.
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_AGAIN: Final = "no-cache"

_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Chappe: web assets not built</title></head>
<body><h1>web assets not built, run <code>make setup</code></h1>
<p>The hub itself runs: WebSocket on <code>/ws</code>, the API on <code>/api</code>, health on
<a href="healthz">/healthz</a>. Only its pages are missing from this source tree.</p>
<p lang="fr">Les pages web ne sont pas construites : lancez <code>make setup</code>. Le hub lui-même fonctionne.</p>
</body></html>
"""


class Console:
    """Serves the pages from a folder."""

    def __init__(self, static_dir: Path) -> None:
        self._files = StaticFiles(static_dir)

    async def page(self, request: Request) -> Response:
        """Serve the console."""
        return self._answer(request, "index.html", _ASK_AGAIN) or self._missing()

    async def application(self, request: Request) -> Response:
        """Serve an application: the same page, which looks at the path, with its relative links one level deeper."""
        return self._answer(request, "apps/index.html", _ASK_AGAIN) or self._missing()

    async def asset(self, request: Request) -> Response:
        """Serve what the page asks for; its name has a hash of its content."""
        path = f"assets/{request.path_params['path']}"
        return self._answer(request, path, _FOREVER) or Response(b"no such asset\n", 404, _PAGE_HEADERS)

    async def file(self, request: Request) -> Response:
        """Serve a file beside the page: the SDK, the manifest, an icon."""
        name = request.path_params["name"]
        found = self._answer(request, name, _ASK_AGAIN)
        if found is not None:
            return found
        return self._missing() if name == "chappe.js" else Response(b"not found\n", 404, _PAGE_HEADERS)

    def _answer(self, request: Request, path: str, caching: str) -> Response | None:
        file = self._files.find(path, "gzip" in _codings(request.headers.get("accept-encoding", "")))
        if file is None:
            return None
        headers = {**_PAGE_HEADERS, "Cache-Control": caching, "ETag": file.tag, "Vary": "Accept-Encoding"}
        if file.encoding:
            headers["Content-Encoding"] = file.encoding
        if _is_known(request, file):
            return Response(None, 304, headers)
        if path == "chappe.js":
            # Other sites load the SDK too, as a module script, which browsers fetch with CORS.
            headers |= {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
        return Response(file.content, 200, headers, file.media_type)

    def _missing(self) -> Response:
        return Response(_NOT_BUILT.encode(), 503, {**_PAGE_HEADERS, "Cache-Control": "no-store"}, "text/html")


def build_console(static_dir: Path) -> list[BaseRoute]:
    """Return the routes of the console; put them last, they answer every name at the top.

    Args:
        static_dir: the folder with `index.html`, `apps/index.html`, `chappe.js` and `assets/`. As long as it is not
            built, a page says so.
    """
    console = Console(static_dir)
    return [
        Route("/", console.page),
        Route("/apps/{name}", console.application),
        Route("/assets/{path:path}", console.asset),
        Route("/{name}", console.file),
    ]


def _codings(header: str) -> set[str]:
    """Return the content codings that a client takes (RFC 9110, 12.5.3); `q=0` means: not this one."""
    taken = set()
    for token in tokens(header.lower()):
        name, _, parameter = token.partition(";")
        if parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            taken.add(name.strip())
    return taken


def _is_known(request: Request, file: StaticFile) -> bool:
    known = tokens(request.headers.get("if-none-match", ""))
    return file.tag in known or f"W/{file.tag}" in known
