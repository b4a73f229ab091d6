"""A body of `/v1/classify` in any of its forms, packed or not, as the gateway takes the picture out of it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

from starlette.requests import Request
from starlette.types import Message

from splitway.errors import SplitwayError
from splitway.gateway.edge.intake import read_picture
from splitway.http.body import plain_headers
from splitway.http.body_budget import BodyBudget
from splitway.wire.context import Limits
from splitway.wire.deadline import Deadline
from tests.fuzz.target import Target, check_brief, lines, wait_for

_MAX_BODY_BYTES, _MAX_PICTURE_BYTES = 20_000, 10_000
_LIMITS = Limits(_MAX_BODY_BYTES, _MAX_BODY_BYTES, 5, 5, max_json_values=1000)
_FORM = b"multipart/form-data; boundary=b"


def run(data: bytes) -> None:
    (media_type, encoding), body = lines(data, 2)
    headers = {"content-type": media_type} | ({"content-encoding": encoding} if encoding else {})
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    half = len(body) // 2
    messages: list[Message] = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    request = Request({"type": "http", "method": "POST", "query_string": b"", "headers": raw}, receive)
    try:
        picture = wait_for(_picture(request))
    except SplitwayError as error:
        check_brief(error)
        return
    assert isinstance(picture, bytes)
    assert 1 <= len(picture) <= _MAX_PICTURE_BYTES


async def _picture(request: Request) -> bytes:
    bodies = BodyBudget(_MAX_BODY_BYTES, 1.0, lambda _: "")
    with bodies.charge(request.scope) as charge:
        picture = await read_picture(
            request, plain_headers(request), Deadline.after(5), _LIMITS, _MAX_PICTURE_BYTES, charge, lambda _: None
        )
    assert bodies.held_bytes == 0
    return picture


def seeds() -> Iterator[bytes]:
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: x/y\r\n\r\nxy\r\n'
    text = b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n3\r\n'
    for form in (part + b"--b--\r\n", text + part + b"--b--\r\n", part, text + b"--b--\r\n", part * 2 + b"--b--\r\n"):
        yield _FORM + b"\n\n" + form
    encoded = part.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1) + b"--b--\r\n"
    yield _FORM + b"; charset=utf-7\n\n" + encoded.replace(b'"a.jpg"', b"\"a\"; filename*=utf-8''%e2%82%ac")
    yield b'application/json\n\n{"image": "eHk="}'
    yield b"image/png\n\nxy"
    yield b"image/jpeg\ngzip\n" + gzip.compress(b"xy", mtime=0)
    yield b"image/webp\ndeflate\n" + zlib.compress(bytes(30_000))


TARGET = Target(
    run,
    seeds,
    (
        "multipart/form-data",
        "boundary=",
        "charset=",
        "application/json",
        "image/webp",
        "gzip",
        "deflate",
        "filename*=",
        "Content-Disposition: form-data; ",
        'name="image"',
        "filename=",
        "\r\n\r\n",
        "--b--",
        "utf-16",
        '{"image": "',
    ),
)
