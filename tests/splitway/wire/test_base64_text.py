"""Base64 as programs write it: read where there is one reading, named where there is none."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable

import pytest

from splitway.wire.base64_text import decode_base64

RANDOM = random.Random(7)
SIZES = (0, 1, 2, 3, 1000, 1001, 1002, 300_000, 600_001)
DATA = [RANDOM.randbytes(size) for size in SIZES]


def _lines(text: str, end: str) -> str:
    return end.join(re.findall(".{1,76}", text))


FORMS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "data URI": lambda text: "data:image/png;base64," + text,
    "data URI in upper case": lambda text: "DATA:IMAGE/PNG;CHARSET=X;BASE64," + text,
    "for URLs": lambda text: text.replace("+", "-").replace("/", "_"),
    "lines": lambda text: _lines(text, "\n"),
    "Windows' lines": lambda text: _lines(text, "\r\n") + "\r\n",
    "indented": lambda text: "  " + _lines(text, "\n\t"),
    "no padding": lambda text: text.rstrip("="),
    "lines for URLs without padding": lambda text: _lines(text.translate({43: 45, 47: 95}).rstrip("="), "\n"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", DATA, ids=map(str, SIZES))
def test_every_form_of_the_same_bytes_is_read(form: str, data: bytes) -> None:
    assert decode_base64(FORMS[form](base64.b64encode(data).decode())) == data


@pytest.mark.parametrize("size", range(1000, 1060))
def test_blanks_are_never_read_as_other_bytes(size: int) -> None:
    """A '+' that a form has made a blank is read as one, or named; it never becomes another picture."""
    data = RANDOM.randbytes(size)
    text = base64.b64encode(data).decode()
    for form in (text.replace("+", " "), text.replace("+", " ").rstrip("=")):
        try:
            decoded = decode_base64(form)
        except ValueError as error:
            is_named = re.search(r"blank at character \d+ .*'\+'.*white space", str(error)) is not None
        else:
            is_named = decoded == data
        assert is_named


def test_blanks_that_end_lines_are_space() -> None:
    data = RANDOM.randbytes(2000)
    text = base64.b64encode(data).decode()
    assert decode_base64(_lines(text, " ")) == data
    assert decode_base64(_lines(text.replace("+", "A"), " ")) == base64.b64decode(text.replace("+", "A"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("AAAA*AAA", r"'\*' at character 5, which is not in its alphabet"),
        ("data:image/png;base64,AAAA*AAA", "at character 27"),
        ("AAAA%2BAA", "percent-encoded"),
        ("image/png;base64,AAAA", "';' at character 10"),
        ("base64,AAAA", "comma at character 7: send what follows it"),
        ("data:image/png,AAAA", "without ';base64'"),
        ("AA==AAAA", "after the '=' at character 3"),
        ("AAAAA", "cut short: 5 characters"),
        ("éAAA", "'é' at character 1"),
        ("AAA\u00a0A", "at character 4"),
        ("A" * 700_000 + "*", "at character 700001"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decode_base64(text)
