"""Reading a request's body within a limit that holds before memory is taken, packed or not."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain

from starlette.requests import ClientDisconnect, Request

from splitway.errors import InvalidInput, SlowBody, TooLarge, UnsupportedMediaType
from splitway.http.body_budget import BodyCharge
from splitway.wire.aside import STEP_BYTES, aside, give_way
from splitway.wire.deadline import Deadline

_WINDOW_BITS = {"gzip": 31, "deflate": 15}
_SMALL_BYTES = 64 * 1024
"""A body that comes at once and is no larger than what a connection holds anyway is not charged."""
_MEMBER = b"\x1f"
"""What each member of a gzip body begins with."""
_MAX_MEMBERS = 1024
"""Of one gzip body; each costs its setting up, however little is in it."""


def plain_headers(request: Request) -> dict[str, str]:
    """A request's headers by lower-case name; of several equal ones the last counts.

    None of them has a line break in it, as no header that the server lets through has: all are decoded at once.
    """
    texts = iter(b"\n".join(chain.from_iterable(request.scope["headers"])).decode("latin-1").split("\n"))
    return dict(zip(texts, texts, strict=False))


async def read_body(
    request: Request,
    headers: Mapping[str, str],
    max_bytes: int,
    deadline: Deadline,
    charge: BodyCharge | None = None,
    *,
    takes_packed: bool = True,
) -> bytes:
    """Return the body, unpacked if `Content-Encoding` says gzip or deflate and that is taken.

    Args:
        request: whose body it is.
        headers: its headers, by lower-case name.
        max_bytes: of the body, as sent and as unpacked.
        deadline: how long the caller waits.
        charge: what holds the body's bytes while the request lasts; None where `max_bytes` is small.
        takes_packed: whether packed bodies are taken.

    Raises:
        TooLarge: the body, as sent or as unpacked, is over `max_bytes`.
        Overloaded: other bodies take the memory for it.
        UnsupportedMediaType: another content encoding.
        InvalidInput: packed bytes that do not unpack.
        DeadlineExceeded: the time was up before that.
        SlowBody: the body did not arrive in time, or so slowly that it had to make room for others.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        encoding = _packing_of(encoding, takes_packed=takes_packed)
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    deadline.check("the body was read")
    try:
        async with asyncio.timeout(deadline.remaining_s) as limit:
            body = await _gather(request, max_bytes, charge, limit)
    except TimeoutError:
        raise (SlowBody("the body did not arrive in time") if charge is None else charge.too_slow()) from None
    if encoding == "identity":
        return body
    body = await aside(partial(unpack, body, encoding, max_bytes))
    if charge is not None:
        charge.becomes(len(body))
    return body


def _packing_of(said: str, *, takes_packed: bool) -> str:
    """The one packing that is left of a header when `identity` is; x-gzip is gzip (RFC 9110, section 8.4.1).

    Raises UnsupportedMediaType for one that is not known or not taken, and for several.
    """
    named = [each.strip() for each in said.split(",")]
    packings = ["gzip" if each == "x-gzip" else each for each in named if each != "identity"]
    if not packings:
        return "identity"
    if not takes_packed:
        raise UnsupportedMediaType(f"content-encoding {said[:40]!r} is not supported here; send the body uncompressed")
    if len(packings) > 1 or packings[0] not in _WINDOW_BITS:
        raise UnsupportedMediaType(f"content-encoding {said[:40]!r} is not supported; use gzip, deflate or none")
    return packings[0]


async def _gather(request: Request, max_bytes: int, charge: BodyCharge | None, limit: asyncio.Timeout) -> bytes:
    """Read all of it, straight from the server: most bodies come at once, without a step more for them."""
    receive, gathered = request.receive, bytearray()
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            if not (more or gathered) and len(chunk) <= min(max_bytes, _SMALL_BYTES):
                return chunk
            if len(gathered) + len(chunk) > max_bytes:
                raise _too_large(max_bytes)
            if charge is not None:
                charge.add(len(chunk))
                if more and chunk:
                    charge.arrives(limit)
            gathered += chunk
            if not more:
                return bytes(gathered)
    finally:
        if gathered and charge is not None:
            charge.has_arrived()
        gathered.clear()  # an error holds this call until it has been counted


def unpack(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Unpack gzip, of one member or several, or deflate; stop at `max_bytes`. May be called in any thread.

    Raises:
        TooLarge: it is more than that, or has more than 1,024 members.
        InvalidInput: it is not packed so, or is cut short.
    """
    unpacked = bytearray()
    try:
        for piece in _unpacked(body, encoding, max_bytes + 1):
            unpacked += piece
            if len(unpacked) > max_bytes:
                raise _too_large(max_bytes)
            give_way()
    except zlib.error as error:
        raise InvalidInput(f"the body is not valid {encoding}: {error}") from error
    return bytes(unpacked)


def _unpacked(body: bytes, encoding: str, most: int) -> Iterator[bytes]:
    """The pieces of what is packed: one after the other, as a bomb must not be unpacked whole."""
    decoder, members, at, packed = zlib.decompressobj(_WINDOW_BITS[encoding]), 1, 0, b""
    while True:
        if not packed:
            packed, at = body[at : at + STEP_BYTES], at + STEP_BYTES
        if decoder.eof and not packed:
            return
        if decoder.eof:
            members += 1
            if encoding != "gzip" or not packed.startswith(_MEMBER):
                raise InvalidInput(f"the {encoding} body has bytes after its end")
            if members > _MAX_MEMBERS:
                raise TooLarge(f"the gzip body has more than {_MAX_MEMBERS} members; compress it as one")
            decoder = zlib.decompressobj(_WINDOW_BITS[encoding])
        piece = decoder.decompress(packed, min(most, STEP_BYTES))
        if not (piece or packed or decoder.eof):
            raise InvalidInput(f"the {encoding} body is cut short")
        packed = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        if piece:
            yield piece


def pack(body: bytes, encoding: str) -> bytes:
    """Pack as gzip or deflate."""
    encoder = zlib.compressobj(level=1, wbits=_WINDOW_BITS[encoding])
    return encoder.compress(body) + encoder.flush()


def packing_asked_for(accept_encoding: str | None) -> str | None:
    """The encoding of a caller that names just one, as inference clients do; browsers' long lists stay unpacked."""
    return accept_encoding if accept_encoding in _WINDOW_BITS else None


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is over the limit of {max_bytes} bytes")
