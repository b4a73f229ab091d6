"""Reading a request's body within a limit that holds before memory is taken, packed or not."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from itertools import chain

from starlette.requests import Request

from splitway.errors import InvalidInput, SlowBody, TooLarge, UnsupportedMediaType
from splitway.wire.deadline import Deadline

_MAX_MEMBERS = 1024
"""Of one gzip body: each costs about 2 us, however little is in it."""
_GZIP = b"\x1f\x8b"
_PIECE_BYTES = 64 * 1024
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


def plain_headers(request: Request) -> dict[str, str]:
    """A request's headers by lower-case name; of several equal ones the last counts.

    None of them has a line break in it, as no header that the server lets through has: all are decoded at once.
    """
    texts = iter(b"\n".join(chain.from_iterable(request.scope["headers"])).decode("latin-1").split("\n"))
    return dict(zip(texts, texts, strict=False))


async def read_body(
    request: Request, headers: Mapping[str, str], max_bytes: int, deadline: Deadline, *, takes_packed: bool = True
) -> bytes:
    """Return the body, unpacked if `Content-Encoding` says gzip or deflate and that is taken.

    Raises:
        TooLarge: the body, as sent or as unpacked, is over `max_bytes`.
        UnsupportedMediaType: another content encoding.
        InvalidInput: packed bytes that do not unpack.
        DeadlineExceeded: the time was up before that.
        SlowBody: the body did not arrive in time.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if not takes_packed and encoding != "identity":
        raise UnsupportedMediaType(f"content-encoding {encoding[:40]!r} is not taken here; send the body as it is")
    if encoding not in (*_WINDOW_BITS, "identity"):
        raise UnsupportedMediaType(f"content-encoding {encoding[:40]!r} is not taken; use gzip, deflate or none")
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    deadline.check("the body was read")
    try:
        async with asyncio.timeout(deadline.remaining_s):
            body = await _gather(request, max_bytes)
    except TimeoutError:
        raise SlowBody("the body did not arrive in time") from None
    return body if encoding == "identity" else unpack(body, encoding, max_bytes)


async def _gather(request: Request, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def unpack(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Unpack gzip, of one member or several (RFC 1952), or deflate, stopping at `max_bytes` of all together."""
    parts: list[bytes] = []
    size, start, members = 0, 0, 0
    while start < len(body) or not members:
        if members and not (encoding == "gzip" and body.startswith(_GZIP, start)):
            raise InvalidInput(f"the {encoding} body has bytes behind its end")
        members += 1
        if members > _MAX_MEMBERS:
            raise TooLarge(f"the gzip body has more than {_MAX_MEMBERS} members; send it as one")
        start, size = _unpack_member(body, start, encoding, parts, size, max_bytes)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unpack_member(
    body: bytes, start: int, encoding: str, parts: list[bytes], size: int, max_bytes: int
) -> tuple[int, int]:
    """Unpack what begins at `start`; return where it ends, and how many bytes there are now."""
    decoder = zlib.decompressobj(_WINDOW_BITS[encoding])
    while not decoder.eof:
        if start >= len(body):
            raise InvalidInput(f"the {encoding} body is cut short")
        # What is behind a member's end is copied: of the first member's once, of all others' as little as may be.
        piece = body if not start else body[start : start + _PIECE_BYTES]
        try:
            parts.append(decoder.decompress(piece, max_bytes + 1 - size))
        except zlib.error as error:
            raise InvalidInput(f"the body is not valid {encoding}: {error}") from error
        size += len(parts[-1])
        if size > max_bytes:
            raise _too_large(max_bytes)
        start += len(piece) - len(decoder.unused_data)
    return start, size


def pack(body: bytes, encoding: str) -> bytes:
    """Pack as gzip or deflate."""
    encoder = zlib.compressobj(level=1, wbits=_WINDOW_BITS[encoding])
    return encoder.compress(body) + encoder.flush()


def packing_asked_for(accept_encoding: str | None) -> str | None:
    """The encoding of a caller that names just one, as inference clients do; browsers' long lists stay unpacked."""
    return accept_encoding if accept_encoding in _WINDOW_BITS else None


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {max_bytes} bytes")
