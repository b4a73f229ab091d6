"""Forms as browsers, curl and old clients send them."""

from __future__ import annotations

import base64

import pytest

from splitway.errors import InvalidInput
from splitway.gateway.edge.multipart import file_of_form, parameters_of
from testkit.support import picture

TYPE = "multipart/form-data; boundary=abc"
PICTURE = picture()
IMAGE = 'form-data; name="image"; filename="x.jpg"'


def _part(disposition: str, content: bytes = PICTURE, *more: str) -> bytes:
    head = "\r\n".join([f"Content-Disposition: {disposition}", *more])
    return b"--abc\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def _read(*parts: bytes, end: bytes = b"--abc--\r\n", content_type: str = TYPE) -> bytes:
    return file_of_form(b"".join(parts) + end, content_type, "image")


@pytest.mark.parametrize(
    "disposition",
    [
        IMAGE,
        'form-data; name="image"; filename="кот 猫.jpg"',
        "form-data; name=\"image\"; filename*=UTF-8''%D0%BA%D0%BE%D1%82.jpg",
        'form-data; name="image"; filename="x"; filename*=UTF-8\'\'%D0%BA.jpg',
        "form-data; filename=x.jpg; name=image",
        'FORM-DATA; NAME="image"; FILENAME=""',
        'form-data; name="image"',
        'form-data; name="image"; filename="a;b=\\"c\\".jpg"',
        f'form-data; name="image"; filename="{"x" * 5000}.jpg"',
        'form-data;\r\n name="image";\r\n\tfilename="x.jpg"',
    ],
    ids=range(10),
)
def test_a_picture_is_taken_however_its_part_is_named(disposition: str) -> None:
    assert _read(_part(disposition)) == PICTURE


def test_what_stands_around_the_picture_is_left_out() -> None:
    text = _part('form-data; name="top_k"', b"3")
    other = _part('form-data; name="other"; filename="y.txt"', b"no picture")
    assert _read(b"a preamble\r\n", text, _part(IMAGE), other, end=b"--abc-- \r\nan epilogue") == PICTURE
    assert _read(_part(IMAGE), end=b"--abc--") == PICTURE
    assert _read(_part(IMAGE), content_type='Multipart/Form-Data; charset=x; Boundary="abc"') == PICTURE
    assert _read(_part(IMAGE).replace(b"--abc\r\n", b"--abc \t\r\n")) == PICTURE
    assert _read(_part(IMAGE, b"\r\n--abcd\r\n" + PICTURE)) == b"\r\n--abcd\r\n" + PICTURE
    assert _read(_part(IMAGE, b"")) == b""


def test_encoded_parts_are_decoded() -> None:
    encoded = base64.b64encode(PICTURE)
    assert _read(_part(IMAGE, encoded, "Content-Transfer-Encoding: base64")) == PICTURE
    assert _read(_part(IMAGE, PICTURE, "Content-Transfer-Encoding: binary")) == PICTURE
    assert _read(_part('form-data; name="image"', b"data:image/png;base64," + encoded)) == PICTURE


@pytest.mark.parametrize(
    ("parts", "end", "says"),
    [
        ([_part(IMAGE)], b"", "cut short.* ends before the closing boundary --abc--"),
        ([_part(IMAGE)[:200]], b"", "cut short.* ends before the closing boundary --abc--"),
        ([_part(IMAGE)[:40]], b"", "cut short: it ends within the headers of a part"),
        ([_part(IMAGE)], b"--abc", "ends before the closing boundary"),
        ([], b"", "the boundary --abc of its content-type does not occur in it"),
        ([b"--other\r\n"], b"", "the boundary --abc of its content-type does not occur in it"),
        ([_part(IMAGE).replace(b"\r\n", b"\n")], b"--abc--\n", "CRLF"),
        ([_part(IMAGE), _part(IMAGE)], b"--abc--", "2 parts 'image'; send one picture"),
        ([_part('form-data; name="file"; filename="x"')], b"--abc--", "no file in a field 'image', only 'file'"),
        ([], b"--abc--", "no file in a field 'image'$"),
        ([_part('form-data; name="image"', b"undefined")], b"--abc--", "without a file name"),
        ([_part('attachment; name="image"')], b"--abc--", "content-disposition: form-data"),
        ([_part(IMAGE, b"x", "X: " + "x" * 20_000)], b"--abc--", "more than 16384 bytes"),
        ([_part('form-data; name="a"', b"x")] * 17, b"--abc--", "more than 16 parts"),
        ([_part(IMAGE, b"*", "Content-Transfer-Encoding: base64")], b"--abc--", "not base64, as it says: it has '\\*'"),
        ([_part(IMAGE, b"x", "Content-Transfer-Encoding: quoted-printable")], b"--abc--", "'quoted-printable'"),
        ([b"\r\n--abcx" * 100_000], b"", "choose another"),
        ([b"--abc\r\n" * 100_000], b"", "more than 16384 bytes|content-disposition"),
    ],
    ids=range(18),
)
def test_every_refusal_says_what_is_true_of_the_body(parts: list[bytes], end: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        _read(*parts, end=end)


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=", 'a/b; boundary=""'])
def test_a_form_without_a_boundary_is_told_so(content_type: str) -> None:
    with pytest.raises(InvalidInput, match="names no boundary"):
        _read(_part(IMAGE), content_type=content_type)


def test_parameters_are_read_with_their_quotes() -> None:
    assert parameters_of('x; A="b;\\"c" ; d = e;d=f') == {"a": 'b;"c', "d": "e"}
