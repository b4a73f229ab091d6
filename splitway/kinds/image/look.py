"""An encoded picture's own account of itself, whichever of the three formats it has."""

from __future__ import annotations

from splitway.kinds.image.jpeg import Jpeg
from splitway.kinds.image.png import SIGNATURE, Png
from splitway.kinds.image.webp import Webp, is_webp, look_at_webp
from splitway.wire.tensor import Buffer

Picture = Jpeg | Png | Webp
_JPEG, _PNG = b"\xff\xd8\xff", SIGNATURE
STARTS = (_JPEG, _PNG, b"RIFF")
"""One of them begins every picture; more than pictures begin with the last."""


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
