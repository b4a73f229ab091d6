"""A picture out of the three forms in which it may come: raw bytes, a multipart field, base64 in JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Callable, Mapping

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from splitway.errors import InvalidInput, TooLarge, UnsupportedMediaType
from splitway.wire.body import read_body
from splitway.wire.deadline import Deadline
from splitway.wire.json_data import loads_bounded

RAW_TYPES = ("image/jpeg", "image/png", "image/webp")
_MULTIPART, _JSON = "multipart/form-data", "application/json"
FIELD = "image"
MAX_HEADS = 16
MIN_TOP_K, MAX_TOP_K, DEFAULT_TOP_K = 1, 100, 5


async def read_picture(
    request: Request,
    headers: Mapping[str, str],
    deadline: Deadline,
    *,
    max_body_bytes: int,
    max_picture_bytes: int,
    on_body: Callable[[int], None],
) -> bytes:
    """Return the encoded picture; `on_body` is told the size of the body as soon as it has been read.

    Raises:
        UnsupportedMediaType: none of the three forms, or a packed body.
        InvalidInput: the form does not hold a picture.
        TooLarge: the body or the picture is over its limit.
        SlowBody: the body did not arrive in time.
    """
    media_type = headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in (*RAW_TYPES, _MULTIPART, _JSON):
        raise UnsupportedMediaType(
            f"content-type {media_type[:60] or 'missing'} is not taken; send image/jpeg, image/png or image/webp, "
            'multipart/form-data with a field \'image\', or application/json with {"image": "<base64>"}'
        )
    body = await read_body(request, headers, max_body_bytes, deadline, takes_packed=False)
    on_body(len(body))
    if media_type == _MULTIPART:
        picture = await _from_multipart(request, body)
    else:
        picture = _from_json(body, max_picture_bytes) if media_type == _JSON else body
    if not picture:
        raise InvalidInput("the picture is empty")
    if len(picture) > max_picture_bytes:
        raise TooLarge(f"the picture has {len(picture)} bytes; at most {max_picture_bytes} are taken")
    return picture


class _InMemoryParser(MultiPartParser):
    spool_max_size = 1 << 40  # the body is in memory and bounded already; a read-only container has no disk to spool to


async def _from_multipart(request: Request, body: bytes) -> bytes:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        form = await _InMemoryParser(
            request.headers, stream(), max_files=1, max_fields=8, max_part_size=len(body)
        ).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise InvalidInput(f"the multipart body cannot be read: {error}") from error
    field = form.get(FIELD)
    picture = await field.read() if isinstance(field, UploadFile) else None
    await form.close()
    if picture is None:
        raise InvalidInput(f"the multipart body has no file in a field {FIELD!r}")
    return picture


def _from_json(body: bytes, max_picture_bytes: int) -> bytes:
    content = loads_bounded(body, len(body))
    text = content.get(FIELD) if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise InvalidInput('the JSON must be {"image": "<base64>"}')
    if len(text) * 3 // 4 > max_picture_bytes + 2:  # before all of it is unpacked
        raise TooLarge(f"the picture has more than {max_picture_bytes} bytes, which is the most that are taken")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"field {FIELD!r} is not base64: {error}") from error


def read_heads(request: Request) -> tuple[str, ...]:
    """Return the heads that are asked for; none where none is named.

    Raises:
        InvalidInput: no name, more than 16, one twice, or `*` beside others.
    """
    text = request.query_params.get("heads")
    if text is None:
        return ()
    heads = tuple(name.strip() for name in text.split(","))
    if not 1 <= len(heads) <= MAX_HEADS or not all(heads) or len(set(heads)) != len(heads):
        raise InvalidInput(f"heads must be 1 to {MAX_HEADS} different names, separated by commas, or *")
    if "*" in heads and len(heads) > 1:
        raise InvalidInput("heads=* stands for all of them: name no others beside it")
    return heads


def read_top_k(request: Request) -> int:
    """Return how many classes are asked for. Raises InvalidInput outside 1 to 100."""
    text = request.query_params.get("top_k", str(DEFAULT_TOP_K))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and MIN_TOP_K <= int(text) <= MAX_TOP_K):
        raise InvalidInput(f"top_k must be a whole number from {MIN_TOP_K} to {MAX_TOP_K}, not {text[:40]!r}")
    return int(text)


def asks_for_timeline(request: Request) -> bool:
    """Whether the request's way is to be remembered; cheap, for it is asked of every request."""
    return b"timeline=" in request.scope["query_string"]


def read_timeline(request: Request) -> bool:
    """Return whether the answer is to have a time line. Raises InvalidInput for what is neither true nor false."""
    text = request.query_params.get("timeline", "false") if asks_for_timeline(request) else "false"
    if text not in ("true", "false"):
        raise InvalidInput(f"timeline must be true or false, not {text[:40]!r}")
    return text == "true"
