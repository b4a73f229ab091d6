"""`/docs` and `/redoc`: an app's description of itself as web pages that load nothing from elsewhere.

Both are Swagger UI, whose files an installed package holds; at `/redoc` it is to be read, and requests cannot be tried.
ReDoc itself cannot be had under the pages' policy: it writes its styles into the page. All addresses are relative, so
that the pages work below any prefix that a proxy gives them.
"""

from __future__ import annotations

import base64
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter

from splitway.http.assets import TYPES, Asset, asset_router

BELOW = "/docs/"
"""Where the pages' parts are."""
_OWN = Path(__file__).parent / "docs"
ICON = _OWN / "icon.svg"
_PACKAGE, _IN_PACKAGE = "fastapi_standalone_docs", "static/swagger"
_PAGE, _STYLE = "docs.html", "swagger-ui.css"
_FILES = (_STYLE, "swagger-ui-bundle.js")
_DATA = re.compile(r'url\((?:"(data:(?:[^"\\]|\\.)*)"|(data:[^)]*))\)')
"""An image within a style sheet, which the policy takes for one from elsewhere."""


def docs_router() -> APIRouter:
    """The pages' routes. Nothing is read before the first of them is asked for."""
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
