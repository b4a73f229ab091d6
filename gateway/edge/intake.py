"""A picture out of the three forms in which it may come: raw bytes, a multipart field, base64 in JSON."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.requests import Request

from splitway.errors import InvalidInput, TooLarge, UnsupportedMediaType
from splitway.gateway.edge.multipart import file_of_form
from splitway.http.body import read_body
from splitway.http.body_budget import BodyCharge
from splitway.kinds.image.kind import MEDIA_TYPES
from splitway.kinds.image.look import STARTS, foreign_kind, is_picture, look
from splitway.names import IMAGE
from splitway.wire.aside import LARGE_BYTES, aside
from splitway.wire.base64_text import decode_base64, decode_strictly
from splitway.wire.context import Limits
from splitway.wire.deadline import Deadline
from splitway.wire.json_data import AT_ONCE, ManyValues, loads_bounded

_SPELT_OTHERWISE = ("image/jpg", "image/pjpeg", "image/x-png", "image/*")
_MULTIPART, _JSON = "multipart/form-data", "application/json"
_CURLS = "application/x-www-form-urlencoded"
_SAYS_NOTHING = ("", "application/octet-stream", "binary/octet-stream", _CURLS)
"""What clients send that were told no type; the last is curl's."""
_FORMS = frozenset((*MEDIA_TYPES, *_SPELT_OTHERWISE, *_SAYS_NOTHING, _MULTIPART, _JSON))
FIELD = IMAGE
_VALUE = re.compile(rb'"image"\s*:\s*"')
_FOUND_WITHIN_BYTES = 64 * 1024
"""Where the field begins, of a large body whose text need not be read as JSON."""


async def read_picture(
    request: Request,
    headers: Mapping[str, str],
    deadline: Deadline,
    limits: Limits,
    max_picture_bytes: int,
    charge: BodyCharge,
    on_body: Callable[[int], None],
) -> bytes:
    """Return the encoded picture; `on_body` is told the size of the body as soon as it has been read.

    Raises:
        UnsupportedMediaType: none of the three forms, or a packed body.
        InvalidInput: the form does not hold a picture, or one of a format that is not taken.
        TooLarge: the body or the picture is over its limit.
        Overloaded: other bodies take the memory for this one.
        SlowBody: the body did not arrive in time.
    """
    content_type = headers.get("content-type", "")
    media_type = content_type.split(";")[0].strip().lower()
    if media_type not in _FORMS:
        raise _not_taken(media_type)
    body = await read_body(request, headers, limits.max_body_bytes, deadline, charge, takes_packed=False)
    on_body(len(body))
    if media_type == _MULTIPART:
        body = await _out_of(partial(file_of_form, body, content_type, FIELD), len(body), charge)
    elif media_type == _JSON:
        body = await _out_of(partial(_from_json, body, limits.max_json_values), len(body), charge, at_once=AT_ONCE)
    if not body:
        raise InvalidInput("the picture is empty")
    if not body.startswith(STARTS) or b"\0" not in body:  # a whole picture has some
        _check_kind(body, media_type)
    if len(body) > max_picture_bytes:
        raise TooLarge(f"the picture has {len(body)} bytes; at most {max_picture_bytes} are allowed")
    return body


async def _out_of(unwrap: Callable[..., bytes], size: int, charge: BodyCharge, **bounds: int) -> bytes:
    """The picture out of a body of so many bytes; a small one is unwrapped here, within these bounds if it can be."""
    if size <= LARGE_BYTES:
        with suppress(ManyValues):
            return unwrap(**bounds)
    picture = await aside(unwrap)
    charge.becomes(len(picture))
    return picture


def _not_taken(media_type: str, why: str = "") -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"content-type {media_type[:60] or 'missing'} is not supported{why}; send image/jpeg, image/png or image/webp, "
        'multipart/form-data with a field \'image\', or application/json with {"image": "<base64>"}'
    )


def _check_kind(picture: bytes, media_type: str) -> None:
    """Refuse known formats that are not supported, by name. Unknown content declared as a picture is left to the
    extractor."""
    if _is_stripped(picture):
        raise InvalidInput("the picture is damaged: its line ends were removed; send it with curl --data-binary")
    kind = None if is_picture(picture) else foreign_kind(picture)
    if media_type in _SAYS_NOTHING and not is_picture(picture):
        raise _not_taken(
            media_type, f" for this, which is {kind}" if kind else " for content that is not a JPEG, PNG or WebP"
        )
    if kind is not None:
        raise InvalidInput(f"the picture must be JPEG, PNG or WebP, and this is {kind}")


def _is_stripped(picture: bytes) -> bool:
    """Whether a picture is as curl -d @file sends it: without line ends and zero bytes, and damaged by that."""
    if b"\0" in picture or b"\n" in picture or b"\r" in picture or not picture.startswith((*STARTS, b"\x89PNG")):
        return False
    try:
        found = look(picture)
    except InvalidInput:
        return True
    return found is None or found.damage is not None


def _from_json(body: bytes, max_values: int, at_once: int | None = None) -> bytes:
    """The picture in the JSON of a body. May be called in any thread. Raises ManyValues as `loads_bounded`."""
    picture = _without_reading_it_all(body, max_values) if len(body) > LARGE_BYTES else None
    if picture is not None:
        return picture
    text = _field(loads_bounded(body, len(body), max_values, at_once=at_once))
    if not isinstance(text, str):
        raise InvalidInput('the JSON must be {"image": "<base64>"}')
    try:
        return decode_base64(text)
    except ValueError as error:
        raise InvalidInput(f"field {FIELD!r} is not base64: {error}") from error


def _without_reading_it_all(body: bytes, max_values: int) -> bytes | None:
    """The picture of a large body whose text is plain base64; None where the body has to be read as JSON whole.

    Reading a text of megabytes as JSON holds the interpreter for as long. The text is decoded where it lies, and the
    JSON around it, with a token in its place, says whether it was the field's.
    """
    begins = _VALUE.search(body, 0, _FOUND_WITHIN_BYTES)
    if begins is None:
        return None
    start, end = begins.end(), body.find(b'"', begins.end())
    token = secrets.token_hex(16)
    if end < 0 or start + len(token) + len(body) - end > _FOUND_WITHIN_BYTES:
        return None
    around = body[:start] + token.encode() + body[end:]
    if _field(loads_bounded(around, len(around), max_values)) != token:
        return None
    return decode_strictly(memoryview(body)[start:end])


def _field(content: Any) -> Any:
    return content.get(FIELD) if isinstance(content, dict) else None
