"""What a body is that was sent where the protocol's JSON is read: the refusal says what to do instead."""

from __future__ import annotations

import json

from splitway.errors import InvalidInput, TooLarge

_Refusal = InvalidInput | TooLarge
_LOOKED_AT = 64 * 1024
"""Bytes of a body that are looked at: the JSON before binary tensors is shorter."""
_INSTEAD = (
    "send it as it is to /v1/classify of the gateway, or here in base64 as a BYTES tensor 'image' with the parameter "
    "content_type base64"
)
_PICTURES = {b"\xff\xd8\xff": "a JPEG", b"\x89PNG": "a PNG", b"GIF8": "a GIF", b"BM": "a BMP", b"II*\0": "a TIFF"}
_OTHERS = {
    b"\x1f\x8b": "the body is gzip: say so in the header content-encoding",
    b"\xef\xbb\xbf": "the JSON begins with a byte order mark: leave it out",
    b"--": f"the body is a multipart form, where the protocol's JSON is needed: {_INSTEAD}",
    b"\x93NUMPY": "the body is a .npy file, where the protocol's JSON is needed: send its numbers as a tensor",
}


def unread(error: _Refusal, body: bytes | memoryview, header: str, length: str | None) -> _Refusal:
    """The refusal of a body whose JSON cannot be read.

    Args:
        error: what the parser met.
        body: as it was sent.
        header: the name of the header that says where the JSON ends.
        length: what it says; None where it is not there.
    """
    if length is None:
        said = _what_it_is(bytes(body), header)
        return error if said is None else InvalidInput(said)
    if "JSON" not in error.detail:  # it is about the header
        return error
    return type(error)(f"of the {length} bytes that {header} says are JSON: {error.detail}")


def _what_it_is(body: bytes, header: str) -> str | None:
    """What the body is, and what to do about it; None where that is not known."""
    if not body or body.isspace():
        return "the body is empty, where the protocol's JSON is needed"
    if (picture := _picture(body)) is not None:
        return f"the body is {picture} picture, where the protocol's JSON is needed: {_INSTEAD}"
    other = next((said for magic, said in _OTHERS.items() if body.startswith(magic)), None)
    if other is None and _is_binary_request(body):
        return f"binary tensors follow the JSON, so the header {header} must say how many bytes the JSON has"
    return other


def _picture(body: bytes) -> str | None:
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "a WebP"
    if body[4:8] == b"ftyp":
        return "a HEIC or AVIF"
    return next((name for magic, name in _PICTURES.items() if body.startswith(magic)), None)


def _is_binary_request(body: bytes) -> bool:
    """Whether a JSON object begins the body and bytes follow it."""
    text = body[:_LOOKED_AT].decode("latin-1").lstrip()
    try:
        found, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool(text[end:].strip())
