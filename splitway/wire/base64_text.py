"""Bytes out of base64 as programs write it: data URIs, lines, the alphabet for URLs, with or without padding.

What can be read in one way only is read; what could be read in two, or in none, is refused with where it is and what
to change. A picture is never read from what may have meant another.
"""

from __future__ import annotations

import binascii
import re

from splitway.wire.aside import STEP_BYTES, give_way

_DATA_URI = re.compile(r"\s*data:([^,]{0,200}),", re.IGNORECASE)
_STRANGE = re.compile(r"[^A-Za-z0-9+/\-_=\s]", re.ASCII)
_PADDING_AND_SPACE = "= \r\n\t\v\f"
_LINES = frozenset(range(16, 1024, 4))
"""Lengths that lines of base64 have."""
_LINE_ENDS = b"\r\n\t\v\f"
_FOR_URLS = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: str) -> bytes:
    """Decode base64; of more than 256 Ki characters in steps, so that it may be done beside an event loop.

    Raises:
        ValueError: it is none; the message says where, and what to change.
    """
    decoded = decode_strictly(text)
    if decoded is None and len(text) <= STEP_BYTES:
        decoded = decode_strictly(text + "=" * (-len(text) % 4))
    return _leniently(text) if decoded is None else decoded


def decode_strictly(text: str | memoryview) -> bytes | None:
    """Decode base64 of the usual alphabet with its padding and nothing else; None where it is not that."""
    try:
        if len(text) <= STEP_BYTES:
            return binascii.a2b_base64(text, strict_mode=True)
        decoded = bytearray()
        for start in range(0, len(text), STEP_BYTES):
            piece = binascii.a2b_base64(text[start : start + STEP_BYTES], strict_mode=True)
            is_padded = len(piece) % 3 != 0
            if is_padded and start + STEP_BYTES < len(text):
                return None
            decoded += piece
            give_way()
        return bytes(decoded)
    except ValueError:  # binascii.Error, and text that is not ASCII
        return None


def _leniently(text: str) -> bytes:
    payload, offset = _without_prefix(text)
    letters = _letters(payload, offset)
    if b" " in letters:
        letters = _without_blanks(letters, offset + payload.find(" ", len(payload) - len(payload.lstrip())) + 1)
    letters = letters.rstrip(b"=")
    if len(letters) % 4 == 1:
        raise ValueError(f"it is cut short: {len(letters)} characters without padding are no base64")
    decoded = decode_strictly(memoryview(letters + b"=" * (-len(letters) % 4)))
    if decoded is None:
        raise ValueError("its characters do not fit together")
    return decoded


def _letters(payload: str, offset: int) -> bytes:
    """The payload in the usual alphabet and without line ends. Raises ValueError for what no reading allows."""
    letters = bytearray()
    for start in range(0, len(payload), STEP_BYTES):
        strange = _STRANGE.search(payload, start, start + STEP_BYTES)
        if strange is not None:
            raise ValueError(_what_stands_there(payload, strange.start(), offset))
        letters += payload[start : start + STEP_BYTES].encode().translate(_FOR_URLS, _LINE_ENDS)
        if len(payload) > STEP_BYTES:
            give_way()
    padding = payload.find("=")
    if padding >= 0 and payload[padding:].strip(_PADDING_AND_SPACE):
        raise ValueError(f"there is more after the '=' at character {offset + padding + 1}, which ends base64")
    return bytes(letters.strip(b" "))


def _without_prefix(text: str) -> tuple[str, int]:
    """What stands behind a data URI's comma, and how many characters stand before it."""
    uri = _DATA_URI.match(text)
    if uri is None:
        return text, 0
    if "base64" not in uri[1].lower().split(";")[-1].split():
        raise ValueError("it is a data URI without ';base64' before its comma: encode the bytes as base64")
    return text[uri.end() :], uri.end()


def _what_stands_there(payload: str, at: int, offset: int) -> str:
    character, where = payload[at], offset + at + 1
    if character == "%":
        return f"it has a '%' at character {where}: it is percent-encoded, decode that first"
    if character == ",":
        return (
            f"it has a comma at character {where}: send what follows it, or a whole data URI, data:image/png;base64,..."
        )
    return f"it has {character!r} at character {where}, which is not in its alphabet: A-Z, a-z, 0-9, '+', '/'"


def _without_blanks(letters: bytes, first: int) -> bytes:
    """Take blanks for what they were: space between, or each a '+' that a form or a URL has changed.

    They are space where a '+' stands elsewhere; '+' where the length is base64's with them and not without them; space
    again where they end lines of one length.
    """
    between = letters.replace(b" ", b"")
    if b"+" in letters:
        return between
    data = between.rstrip(b"=")
    if len(data) % 4 == 1 or (len(between) != len(data) and len(between) % 4):
        return letters.replace(b" ", b"+")
    *lines, last = letters.split(b" ")
    lengths = set(map(len, lines))
    if len(lines) > 1 and len(lengths) == 1 and lengths <= _LINES and len(last) <= len(lines[0]):
        return between
    raise ValueError(
        f"it has a blank at character {first} that may have been a '+', as forms and URLs change it, or white space: "
        "send '+' (in a URL %2B), or leave the blanks out"
    )
