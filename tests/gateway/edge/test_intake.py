"""What may be sent as a picture, and what is said of everything else."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import orjson
import pytest
from starlette.requests import Request
from starlette.types import Message

from splitway.errors import InvalidInput, Overloaded, SplitwayError, TooLarge, UnsupportedMediaType
from splitway.gateway.edge import intake
from splitway.gateway.edge.intake import read_picture
from splitway.http.body_budget import BodyBudget
from splitway.wire.context import Limits
from splitway.wire.deadline import Deadline
from testkit.support import picture

PNG, JPEG = picture(), picture(format_="JPEG")
LIMITS = Limits(16 << 20, 16 << 20, 5, 5, max_json_values=1 << 17)
JSON = "application/json"


async def read(content_type: str | None, body: bytes, bodies: BodyBudget | None = None, most: int = 10 << 20) -> bytes:
    """Read a picture out of a body that comes in two pieces."""
    half = len(body) // 2
    messages: list[Message] = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    headers: Mapping[str, str] = {} if content_type is None else {"content-type": content_type}
    scope = {"type": "http", "method": "POST", "query_string": b"", "headers": []}
    bodies = bodies or BodyBudget(96 << 20, 0.5, lambda _: "")
    with bodies.charge(scope) as charge:
        request, deadline = Request(scope, receive), Deadline.after(5)
        return await read_picture(request, headers, deadline, LIMITS, most, charge, lambda _: None)


@pytest.mark.parametrize(
    "content_type",
    [
        "image/jpeg",
        "image/jpg",
        "IMAGE/PJPEG; q=1",
        "image/png;charset=binary",
        "image/x-png",
        "image/webp",
        "image/*",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "",
        None,
    ],
)
async def test_a_picture_is_taken_under_every_name_that_clients_give_it(content_type: str | None) -> None:
    for each in (PNG, JPEG):
        assert await read(content_type, each) == each


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
async def test_a_picture_that_curl_has_stripped_is_answered_with_the_option_that_does_not(format_: str) -> None:
    sent = picture(size=(400, 300), format_=format_)
    with pytest.raises(InvalidInput, match="line ends were removed; send it with curl --data-binary"):
        await read("application/x-www-form-urlencoded", sent.translate(None, b"\r\n\0"))
    with pytest.raises(InvalidInput, match="send it with curl --data-binary"):
        await read(f"image/{format_.lower()}", sent.translate(None, b"\r\n\0"))
    assert await read("application/x-www-form-urlencoded", sent) == sent


async def test_so_is_one_that_cannot_even_be_looked_at(cat: bytes) -> None:
    with pytest.raises(InvalidInput, match="send it with curl --data-binary"):
        await read("application/x-www-form-urlencoded", cat.translate(None, b"\r\n\0"))


@pytest.mark.parametrize(
    ("content_type", "body", "kind", "says"),
    [
        (
            None,
            b"hello",
            UnsupportedMediaType,
            "content-type missing is not supported for content that is not a JPEG, PNG or WebP",
        ),
        ("application/octet-stream", b"GIF89a..", UnsupportedMediaType, "which is GIF: convert it"),
        ("application/x-www-form-urlencoded", b"image=AAAA", UnsupportedMediaType, "-F image=@file"),
        ("image/heic", b"\0\0\0\x18ftypheic", UnsupportedMediaType, "image/heic is not supported"),
        ("text/plain", PNG, UnsupportedMediaType, "text/plain is not supported"),
        ("image/jpeg", b"\0\0\0\x18ftypheic\0\0\0\0mif1", InvalidInput, "this is HEIC: convert it"),
        ("image/jpeg", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", InvalidInput, "this is AVIF"),
        ("image/png", b"GIF89a.....", InvalidInput, "this is GIF"),
        ("image/png", b"II*\0....", InvalidInput, "this is TIFF"),
        ("image/png", b"BM1234\0\0\0\0....", InvalidInput, "this is BMP"),
        ("image/png", b'<?xml version="1.0"?>\n<svg xmlns=""/>', InvalidInput, "this is SVG"),
        ("image/png", b"%PDF-1.7", InvalidInput, "this is PDF"),
        ("image/png", PNG.replace(b"\r\n", b"").replace(b"\n", b""), InvalidInput, "curl: --data-binary"),
        ("image/jpeg", base64.b64encode(JPEG), InvalidInput, "this is base64: send it as application/json"),
        ("image/jpeg", b"", InvalidInput, "the picture is empty"),
        (JSON, orjson.dumps({"image": base64.b64encode(b"GIF89a...").decode()}), InvalidInput, "this is GIF"),
        (JSON, orjson.dumps({"image": ""}), InvalidInput, "the picture is empty"),
        (JSON, orjson.dumps({"image": "AAAA*"}), InvalidInput, "field 'image' is not base64: it has '\\*' at"),
        (JSON, orjson.dumps({"picture": ""}), InvalidInput, "the JSON must be"),
        (JSON, orjson.dumps([1] * 131_073), TooLarge, "more than 131072 values"),
        (JSON, orjson.dumps({"a": [1] * 131_073, "image": "A" * 400_000}), TooLarge, "more than 131072 values"),
    ],
    ids=range(21),
)
async def test_what_is_no_picture_is_named(
    content_type: str | None, body: bytes, kind: type[SplitwayError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        await read(content_type, body)


LARGE = JPEG + bytes(600_000)
TEXT = base64.b64encode(LARGE).decode()


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps({"image": TEXT}),
        orjson.dumps({"id": 1, "image": TEXT, "more": [1, 2]}),
        b'{"image" :\n "' + TEXT.replace("/", "\\/").encode() + b'"}',
        orjson.dumps({"image": "AAAA", "more": {"image": TEXT}} | {"image": TEXT}),
        orjson.dumps({"inner": {"image": TEXT[:-40]}, "image": TEXT}),
        b'{"image": "' + TEXT[:400_000].encode() + b'", "image": "' + TEXT.encode() + b'"}',
        orjson.dumps({"image": "data:image/jpeg;base64," + TEXT}),
        orjson.dumps({"image": "\n".join((TEXT[:76], TEXT[76:]))}),
    ],
    ids=range(8),
)
async def test_a_large_text_is_the_one_that_reading_all_of_the_json_gives(body: bytes) -> None:
    assert await read(JSON, body) == LARGE


@pytest.mark.parametrize("tail", [b"", b'"', b'", ]}', b'"} x', b'\x01"}'])
async def test_a_large_text_in_broken_json_is_refused_as_json(tail: bytes) -> None:
    with pytest.raises(InvalidInput, match="the JSON cannot be read"):
        await read(JSON, b'{"image": "' + TEXT.encode() + tail)


@pytest.mark.parametrize("beyond", [0, 1])
def test_no_more_json_than_the_bound_is_read_around_a_large_text(beyond: int) -> None:
    """A token of 32 characters stands in the text's place."""
    start, text, end = b'{"image": "', base64.b64encode(PNG), b'"}'
    padding = b" " * (intake._FOUND_WITHIN_BYTES - len(start) - 32 - len(end) + beyond)
    found = intake._without_reading_it_all(start + text + end + padding, 100)
    assert found == (None if beyond else PNG)


async def test_a_body_is_charged_while_it_is_read_and_given_back() -> None:
    bodies = BodyBudget(1 << 20, 1.0, lambda _: "")
    with bodies.charge({}) as another:
        another.add(800_000)
        with pytest.raises(Overloaded):
            await read("image/jpeg", LARGE, bodies)
        assert await read("image/jpeg", JPEG, bodies) == JPEG
        assert bodies.held_bytes == 800_000
    assert await read("image/jpeg", LARGE, bodies) == LARGE
    assert bodies.held_bytes == 0


async def test_a_picture_over_its_limit_is_refused_in_every_form() -> None:
    for content_type, body in (("image/jpeg", LARGE), (JSON, orjson.dumps({"image": TEXT}))):
        with pytest.raises(TooLarge, match=f"{len(LARGE)} bytes; at most 1000"):
            await read(content_type, body, most=1000)


async def test_a_picture_beside_many_values_is_taken_too() -> None:
    """So many are read beside the event loop, however few bytes they are."""
    body = orjson.dumps({"a": [{}] * 50_000, "image": base64.b64encode(PNG).decode()})
    assert await read(JSON, body) == PNG
