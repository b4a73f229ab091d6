"""Files of web pages: answered from memory, to be asked for again each time, and under one policy for all pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True)
class Asset:
    """One file as it is sent."""

    content: bytes
    media_type: str

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:20]}"'

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the caller has it."""
        headers = {**_HEADERS, "etag": self.etag}
        if _names(request.headers.get("if-none-match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


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


def _names(if_none_match: str, etag: str) -> bool:
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in known or "*" in known
