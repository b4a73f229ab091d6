"""One file out of a multipart/form-data body (RFC 7578), with every sentence true of what was sent.

The body is in memory and bounded. Parts, the lines around them and their headers are counted while they are found, so
that no body costs more than one pass; a search goes in steps, so that it may be done beside the event loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from splitway.errors import InvalidInput
from splitway.kinds.image.look import is_picture
from splitway.wire.aside import give_way
from splitway.wire.base64_text import decode_base64

_MAX_PARTS = 16
_MAX_HEADER_BYTES = 16 * 1024
"""Of one part."""
_MAX_BOUNDARY = 200
"""Characters; the standard allows 70."""
_MAX_FALSE_BOUNDARIES = 64
"""Places that begin as the boundary does and go on otherwise: of a boundary that was chosen well there is none."""
_SEARCHED_AT_ONCE = 1 << 20
_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]{1,64})\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)')
_FOLDED = re.compile(r"\r\n[ \t]+")
"""Where a header goes on in the next line, as mail has it."""
_AFTER_BOUNDARY = re.compile(rb"(--)|[ \t]{0,64}\r\n")
_DATA_URI = b"data:"
_AS_IT_IS = ("", "7bit", "8bit", "binary")


@dataclass(frozen=True)
class _FormPart:
    """One part: its field's name, whether it says that it is a file, and where it lies in the body."""

    name: str
    is_file: bool
    encoding: str
    start: int
    end: int


def file_of_form(body: bytes, content_type: str, field: str) -> bytes:
    """Return what the one part of this name holds. May be called in any thread.

    Raises:
        InvalidInput: the body is no multipart body, is cut short, or has no such part, or several.
    """
    parts = list(_parts(body, _boundary(content_type)))
    found = [part for part in parts if part.name == field]
    if len(found) > 1:
        raise InvalidInput(f"the multipart body has {len(found)} parts {field!r}; send one picture in a request")
    if not found:
        others = ", ".join(repr(part.name[:40]) for part in parts)
        raise InvalidInput(
            f"the multipart body has no file in a field {field!r}" + (f", only {others}" if others else "")
        )
    return _content(body, found[0])


def _content(body: bytes, part: _FormPart) -> bytes:
    content = body[part.start : part.end]
    is_text = not part.is_file and content[: len(_DATA_URI)].lower() == _DATA_URI
    if part.encoding == "base64" or is_text:
        try:
            return decode_base64(content.decode("latin-1"))
        except ValueError as error:
            raise InvalidInput(f"the part {part.name!r} is not base64, as it says: {error}") from error
    if part.encoding not in _AS_IT_IS:
        raise InvalidInput(f"the part {part.name!r} has content-transfer-encoding {part.encoding[:40]!r}; send binary")
    if not part.is_file and content and not is_picture(content):
        raise InvalidInput(
            f"the part {part.name!r} is a field without a file name, and no picture: send the picture as a file, "
            'with filename="..." behind its name'
        )
    return content


def _boundary(content_type: str) -> bytes:
    boundary = parameters_of(content_type).get("boundary", "")
    if not boundary:
        raise InvalidInput(
            "content-type multipart/form-data names no boundary; HTTP clients add one if the header is not set by hand"
        )
    if len(boundary) > _MAX_BOUNDARY:
        raise InvalidInput(f"the boundary has {len(boundary)} characters; at most {_MAX_BOUNDARY} are allowed")
    return b"--" + boundary.encode("latin-1")


def parameters_of(header: str) -> Mapping[str, str]:
    """The parameters behind a header's value, by lower-case name; of several spelt alike the first counts."""
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(header):
        value = match[2].strip()
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.setdefault(match[1].lower(), value)
    return found


def _parts(body: bytes, boundary: bytes) -> Iterator[_FormPart]:
    """The parts between the boundaries. Raises InvalidInput where they do not end as they must."""
    at, is_last = _first_boundary(body, boundary)
    for number in range(_MAX_PARTS + 1):
        if is_last:
            return
        if number == _MAX_PARTS:
            raise InvalidInput(f"the multipart body has more than {_MAX_PARTS} parts")
        name, is_file, encoding, start = _head(body, at)
        end, at, is_last = _next_boundary(body, boundary, start)
        yield _FormPart(name, is_file, encoding, start, end)


def _first_boundary(body: bytes, boundary: bytes) -> tuple[int, bool]:
    """Where the first part begins, and whether there is none."""
    match = _AFTER_BOUNDARY.match(body, len(boundary)) if body.startswith(boundary) else None
    if match is not None:
        return match.end(), match[1] is not None
    if body.startswith(boundary + b"\n"):
        raise InvalidInput("the lines of a multipart body end with CRLF, not with LF alone")
    _, at, is_last = _next_boundary(body, boundary, 0, "the boundary {} of its content-type does not occur in it")
    return at, is_last


def _next_boundary(
    body: bytes, boundary: bytes, start: int, otherwise: str = "it ends before the closing boundary {}--"
) -> tuple[int, int, bool]:
    """Where what stands before the next boundary ends, where the next part begins, and whether there is none."""
    line, at = b"\r\n" + boundary, max(0, start - 2)  # an empty part's boundary follows its head's last line end
    for _ in range(_MAX_FALSE_BOUNDARIES):
        at = _find(body, line, at)
        if at < 0:
            shown = boundary[:60].decode("latin-1")
            raise InvalidInput(f"the multipart body is cut short or invalid: {otherwise.format(shown)}")
        match = _AFTER_BOUNDARY.match(body, at + len(line))
        if match is not None:
            return max(at, start), match.end(), match[1] is not None
        at += len(line)
    raise InvalidInput("the boundary occurs too often in the content: choose another")


def _find(body: bytes, text: bytes, start: int) -> int:
    """`body.find(text, start)`, in steps."""
    while start < len(body):
        at = body.find(text, start, start + _SEARCHED_AT_ONCE + len(text))
        if at >= 0:
            return at
        start += _SEARCHED_AT_ONCE
        if start < len(body):
            give_way()
    return -1


def _head(body: bytes, start: int) -> tuple[str, bool, str, int]:
    """A part's name, whether it is a file, how it is encoded, and where its content begins."""
    end = body.find(b"\r\n\r\n", max(0, start - 2), start + _MAX_HEADER_BYTES)
    if end < 0:
        if len(body) - start >= _MAX_HEADER_BYTES:
            raise InvalidInput(f"the headers of a part of the multipart body have more than {_MAX_HEADER_BYTES} bytes")
        raise InvalidInput("the multipart body is cut short: it ends within the headers of a part")
    text = body[start:end].decode("utf-8", "replace")
    lines = _FOLDED.sub(" ", text).split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    disposition = headers.get("content-disposition", "")
    parameters = parameters_of(disposition)
    if not disposition.lower().startswith("form-data") or "name" not in parameters:
        raise InvalidInput('a part of the multipart body has no header content-disposition: form-data; name="image"')
    is_file = "filename" in parameters or "filename*" in parameters
    return unquote(parameters["name"]), is_file, headers.get("content-transfer-encoding", "").lower(), end + 4
