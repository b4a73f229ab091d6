"""Files of web pages: answered from memory, to be asked for again each time, and under one policy for all pages.

`/docs` and `/redoc` are an app's description of itself, as pages that load nothing from elsewhere. Both are Swagger UI,
whose files an installed package holds; at `/redoc` it is to be read, and requests cannot be tried. ReDoc itself cannot
be had under the pages' policy: it writes its styles into the page. All addresses are relative, so that the pages work
below any prefix that a proxy gives them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from splitway.errors import NotFound

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",  # kept, but asked for again each time: an upgraded service is never half the old page
}
BELOW = "/docs/"
"""Where the pages' parts are."""
_OWN = Path(__file__).parent / "docs"
ICON = _OWN / "icon.svg"
_PACKAGE, _IN_PACKAGE = "fastapi_standalone_docs", "static/swagger"
_PAGE, _STYLE = "docs.html", "swagger-ui.css"
_FILES = (_STYLE, "swagger-ui-bundle.js")
_DATA = re.compile(r'url\((?:"(data:(?:[^"\\]|\\.)*)"|(data:[^)]*))\)')
"""An image within a style sheet, which the policy takes for one from elsewhere."""


@dataclass(frozen=True)
class Asset:
    """One file as it is sent: plain, and where there is a smaller form of it, that to those who read gzip."""

    content: bytes
    media_type: str
    gzipped: bytes | None = None

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:20]}"'

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the caller has it in the form that would be sent."""
        content, etag, headers = self.content, self.etag, dict(_HEADERS)
        if self.gzipped is not None:
            headers["vary"] = "accept-encoding"
            if _reads_gzip(request.headers.get("accept-encoding", "")):
                content, etag = self.gzipped, f'{etag[:-1]}-gzip"'
                headers["content-encoding"] = "gzip"
        headers["etag"] = etag
        if _names(request.headers.get("if-none-match", ""), etag):
            headers.pop("content-encoding", None)
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=self.media_type)


def asset_router(
    whole: str, page: str, paths: Sequence[str], below: str, assets: Callable[[], Mapping[str, Asset]]
) -> APIRouter:
    """The routes of a page and its parts.

    Args:
        whole: what the parts are of, for the error.
        page: the file of the page.
        paths: where the page is.
        below: where every file is.
        assets: the files by name; not asked for before one of them is.
    """

    async def answer(request: Request) -> Response:
        name = request.path_params.get("name", page)
        asset = assets().get(name)
        if asset is None:
            raise NotFound(f"{whole} has no part {name[:80]!r}; it begins at {paths[0]}")
        return asset.answer(request)

    router = APIRouter()
    for path in (*paths, below + "{name:path}"):
        router.add_api_route(path, answer, methods=["GET", "HEAD"], response_class=Response, include_in_schema=False)
    return router


def _reads_gzip(accept_encoding: str) -> bool:
    """Whether a caller reads gzip; one that says so with the weight 0 does not."""
    for accepted in accept_encoding.split(","):
        coding, *parameters = accepted.lower().replace(" ", "").split(";")
        if coding == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


def _names(if_none_match: str, etag: str) -> bool:
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in known or "*" in known


def docs_router() -> APIRouter:
    """The routes of `/docs` and `/redoc`. Nothing is read before the first of them is asked for."""
    return asset_router("the description", _PAGE, ("/docs", "/redoc"), BELOW, _assets)


@cache
def _assets() -> dict[str, Asset]:
    own = {file.name: file.read_bytes() for file in _OWN.iterdir() if file.suffix in TYPES}
    folder = _folder()
    found = own | {name: (folder / name).read_bytes() for name in _FILES}
    found[_STYLE], images = _with_images_beside(found[_STYLE].decode())
    return {name: Asset(content, TYPES[Path(name).suffix]) for name, content in found.items()} | images


def _folder() -> Path:
    """Where the package is, of which nothing runs here."""
    spec = find_spec(_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / _IN_PACKAGE


def _with_images_beside(style: str) -> tuple[bytes, dict[str, Asset]]:
    """A style sheet whose images are files, and those files."""
    images: dict[str, Asset] = {}

    def beside(found: re.Match[str]) -> str:
        head, _, data = re.sub(r"\\(.)", r"\1", found[1] or found[2]).removeprefix("data:").partition(",")
        media_type, *parameters = head.split(";")
        content = base64.b64decode(data) if "base64" in parameters else unquote_to_bytes(data)
        name = f"images/{len(images)}"
        images[name] = Asset(content, media_type)
        return f'url("{name}")'

    return _DATA.sub(beside, style).encode(), images
