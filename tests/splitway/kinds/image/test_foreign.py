"""What is no picture is named by its first bytes, in no more time than they take to be read once."""

from __future__ import annotations

import time

import pytest

from splitway.kinds.image.foreign import foreign_kind


@pytest.mark.parametrize(
    "start",
    [
        b"<svg/>",
        b'\xef\xbb\xbf <?xml version="1.0"?>\n<!-- made by hand -->\n<!DOCTYPE svg PUBLIC "x">\n<svg xmlns="">',
        b"<!-- first -->\n<?xml-stylesheet?><!-- second --><svg>",
    ],
)
def test_svg_is_named_whatever_stands_before_its_element(start: bytes) -> None:
    assert foreign_kind(start) == "SVG: convert it to JPEG, PNG or WebP"


@pytest.mark.parametrize(
    "start",
    [
        b"<?xml" + b"<!--" * 128 + b"<!doctype svg" * 40 + b"<" * 600,
        b"<?xml" + b"<!--<!doctype svg" * 120,
        b" " * 64 + b"<?xml" + b" " * 2000,
        b"--" + b"!" * 2000,
        b"    ftyp" + b"avi" * 1000,
    ],
)
def test_no_two_kilobytes_take_long(start: bytes) -> None:
    """The first held an event loop for 0.1 s."""
    began_s = time.thread_time()
    foreign_kind(start)
    assert time.thread_time() - began_s < 0.02
