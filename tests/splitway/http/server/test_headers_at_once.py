"""Headers are decoded all at once, between line breaks: none of them can have one in it."""

from __future__ import annotations

from contextlib import suppress

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from splitway.http.body import plain_headers

LATIN = st.binary(max_size=12).map(lambda data: data.replace(b"\n", b""))
PIECES = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"\r\n ", b"\n\t", b" ", b":", b"a", b"X: y", b"\0", b"\x0b", b"\x85", b"\xff"]
)
READERS = {
    "request": (httptools.HttpRequestParser, b"GET / HTTP/1.1\r\nHost: a\r\n"),
    "reply": (httptools.HttpResponseParser, b"HTTP/1.1 200 OK\r\nX: a\r\n"),
}


class Seen:
    """What a parser tells of the headers that it reads."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


@given(st.lists(st.tuples(LATIN, LATIN), max_size=8))
def test_they_are_what_they_were_one_by_one(headers: list[tuple[bytes, bytes]]) -> None:
    one_by_one = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    assert plain_headers(Request({"type": "http", "headers": headers})) == one_by_one


@pytest.mark.parametrize("kind", READERS)
@given(pieces=st.lists(PIECES, max_size=12), cut=st.integers(0, 99))
def test_no_header_that_is_read_has_a_line_break_in_it(kind: str, pieces: list[bytes], cut: int) -> None:
    parser, begins = READERS[kind]
    seen, sent = Seen(), begins + b"".join(pieces) + b"\r\n\r\n"
    reading = parser(seen)
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        reading.feed_data(sent[:cut])
        reading.feed_data(sent[cut:])
    assert not any(b"\n" in name or b"\n" in value for name, value in seen.headers)
