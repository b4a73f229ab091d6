"""Serves the page, its parts and the samples: read once, when the app is made, and answered from memory, the page and
its parts in a gzipped form too.

All its addresses are relative, so that it works below any prefix that a proxy gives it.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import orjson
from fastapi import APIRouter

from splitway.http.pages import ICON, TYPES, Asset, asset_router
from splitway.kinds.image.kind import MEDIA_TYPES

BELOW = "/page/"
"""Where everything but the page itself is."""
_INDEX = "index.html"
_ABOUT = "about.json"
_SAMPLES = "samples/"
_PICTURES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_OWN_SAMPLES = Path(__file__).resolve().parent.parent.parent / "samples"
"""Beside the sources, where they are run in place; imported, they lie behind a link."""
_COMMENT = re.compile(rb"^[ ]*/\*(?:[^*]|\*(?!/))*\*/\n", re.MULTILINE)
_MOST_SAMPLES = 12
_MOST_SAMPLE_BYTES = 2 * 1024 * 1024


def page_router(samples: Path | None, max_picture_bytes: int, *, described: bool = True) -> APIRouter:
    """The page's routes.

    Args:
        samples: folder of pictures to try; None for those beside the sources.
        max_picture_bytes: of one picture.
        described: whether the gateway answers with a description of its interface.
    """
    assets = {**dict(_own_files()), **dict(_samples(samples or _OWN_SAMPLES, max_picture_bytes))}
    about = _about(assets, max_picture_bytes) | {"described": described}
    assets[_ABOUT] = Asset(orjson.dumps(about), TYPES[".json"])
    return asset_router("the page", _INDEX, ("/",), BELOW, lambda: assets)


def _about(assets: Iterable[str], max_picture_bytes: int) -> dict[str, object]:
    """What the page has to know of this gateway before it sends anything."""
    samples = [name for name in assets if name.startswith(_SAMPLES)]
    return {
        "max_picture_bytes": max_picture_bytes,
        "media_types": MEDIA_TYPES,
        "samples": [{"name": name.removeprefix(_SAMPLES), "url": BELOW[1:] + quote(name)} for name in samples],
    }


def _own_files() -> Iterator[tuple[str, Asset]]:
    for file in (*sorted(Path(__file__).parent.iterdir()), ICON):
        if file.suffix in TYPES:
            content = _COMMENT.sub(_only_its_lines, file.read_bytes())
            yield file.name, Asset(content, TYPES[file.suffix], gzip.compress(content, mtime=0))


def _only_its_lines(comment: re.Match[bytes]) -> bytes:
    """A comment that fills lines is for those who read the sources: what is sent keeps its number of lines."""
    return b"\n" * comment[0].count(b"\n")


def _samples(folder: Path, max_bytes: int) -> Iterator[tuple[str, Asset]]:
    """The first pictures directly in the folder, by name; those that would be refused are none."""
    if not folder.is_dir():
        return
    pictures = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in _PICTURES and file.is_file()]
    pictures = [file for file in pictures if file.name.isprintable() and os.access(file, os.R_OK)]
    small = [file for file in pictures if file.stat().st_size <= min(max_bytes, _MOST_SAMPLE_BYTES)]
    for file in small[:_MOST_SAMPLES]:
        yield _SAMPLES + file.name, Asset(file.read_bytes(), _PICTURES[file.suffix.lower()])
