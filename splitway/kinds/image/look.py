"""An encoded picture's own account of itself, whichever of the three formats it has; and a name for other content."""

from __future__ import annotations

import re

from splitway.kinds.image.jpeg import Jpeg
from splitway.kinds.image.png import SIGNATURE, Png
from splitway.kinds.image.webp import Webp, is_webp, look_at_webp
from splitway.wire.tensor import Buffer

Picture = Jpeg | Png | Webp
_JPEG, _PNG = b"\xff\xd8\xff", SIGNATURE
STARTS = (_JPEG, _PNG, b"RIFF")
"""One of them begins every picture; more than pictures begin with the last."""
CONVERT = "convert it to JPEG, PNG or WebP"
_FOREIGN: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name, advice)
    for pattern, name, advice in (
        (rb".{4}ftyp.{0,60}avi[fs]", "AVIF", CONVERT),
        (rb".{4}ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)", "HEIC", CONVERT),
        (rb".{4}ftyp", "a video or another file of MP4's family", "send a picture"),
        (rb"GIF8[79]a", "GIF", CONVERT),
        (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "TIFF", CONVERT),
        (rb"BM.{4}\0\0\0\0", "BMP", CONVERT),
        (rb"\0\0[\1\2]\0", "ICO", CONVERT),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL", CONVERT),
        (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "JPEG 2000", CONVERT),
        (rb"8BPS", "a Photoshop file", CONVERT),
        (rb"%PDF-", "PDF", "make pictures of its pages first"),
        (rb"(\xef\xbb\xbf)?\s{0,64}(?=<(\?xml|!--|!doctype svg|svg)).{0,2048}<svg", "SVG", CONVERT),
        (rb"(\xef\xbb\xbf)?\s{0,64}<(!doctype html|html)", "an HTML page", "send the picture itself"),
        (rb"\x89PNG(?!\r\n\x1a\n)", "a PNG without its line ends", "send it as binary (curl: --data-binary)"),
        (rb"data:image/", "a data URI", 'send it as application/json, {"image": "data:..."}'),
        (rb"/9j/4|iVBORw0KGgo|UklGR", "base64", 'send it as application/json, {"image": "<base64>"}'),
        (rb'\s{0,64}\{\s{0,64}"', "JSON", "set content-type: application/json"),
        (rb"--[!-~]{1,200}\r\ncontent-", "a multipart body", "set content-type: multipart/form-data; boundary=..."),
        (rb"image=", "a form's field", "send multipart/form-data, as curl does with -F image=@file"),
        (rb"\x1f\x8b", "gzip", "send the picture as it is"),
        (rb"PK\x03\x04", "a ZIP archive", "send the picture itself"),
    )
)
"""What begins content that is no picture, its name, and advice for its sender."""
_LOOKED_AT_BYTES = 2048


def look(data: Buffer) -> Picture | None:
    """Read the parts of a picture, without decoding it.

    Returns:
        What the file says; None for bytes that begin as neither a JPEG, a PNG nor a WebP does. A file that is damaged
        or cut short is read as far as it goes, and says so in `damage`.

    Raises:
        InvalidInput: it has more parts than pictures have.
    """
    start = bytes(data[:16])
    if start.startswith(_JPEG):
        return Jpeg(data)
    if start.startswith(_PNG):
        return Png(data)
    return look_at_webp(data) if is_webp(start) else None


def is_picture(data: Buffer) -> bool:
    """Whether the bytes begin as a JPEG, PNG or WebP does."""
    start = bytes(data[:16])
    return start.startswith((_JPEG, _PNG)) or is_webp(start)


def foreign_kind(data: bytes) -> str | None:
    """What these bytes are, and what to do, as half a sentence; None for what is not known by its first bytes.

    To be asked of what is no picture that is taken.
    """
    start = data[:_LOOKED_AT_BYTES]
    return next((f"{name}: {advice}" for pattern, name, advice in _FOREIGN if pattern.match(start)), None)
