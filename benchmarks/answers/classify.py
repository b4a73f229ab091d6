"""Requests to `/v1/classify`: its three forms, its parameters, its headers."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterable
from dataclasses import replace

from benchmarks.answers.pictures import MIB, bad_pictures, cat, good_pictures
from benchmarks.answers.recorded import CLASSIFY, Recorded


def _classify(name: str, body: bytes, media_type: str = "image/jpeg", query: str = "", **more: str) -> Recorded:
    """Names of headers are written with underscores."""
    headers = {"content-type": media_type, **{each.replace("_", "-"): value for each, value in more.items()}}
    return Recorded(f"classify: {name}", "POST", CLASSIFY + query, headers, body)


def _pictures() -> Iterable[Recorded]:
    for name, (body, media_type) in {**good_pictures(), **bad_pictures()}.items():
        yield _classify(name, body, media_type)
    yield _classify("a body over its limit", b"\xff" * (16 * MIB + 1))
    yield _classify("a length over the limit, without a body", b"", content_length=str(20 * MIB))


def _queries() -> Iterable[Recorded]:
    queries = {
        "top_k": ("1", "2", "5", "100", "0", "101", "-1", "1.5", "many", "", "0005", "00005", "%C2%B2", "1&top_k=3"),
        "heads": ("classifier", "pets", "classifier,pets", "pets,classifier", "*", "foreign", "classifier,foreign"),
        "timeline": ("true", "false", "1", "TRUE", ""),
    }
    more_heads = ("nosuch", "nosuch,pets", "", ",", "pets,pets", "*,pets", "foreign,nosuch", "%00", "a" * 200)
    for parameter, values in {**queries, "heads ": more_heads}.items():
        for value in values:
            query = f"?{parameter.strip()}={value}"
            yield _classify(query[:60], cat(), query=query)
    together = (
        "?top_k=2&heads=*&timeline=true",
        "?top_k=0&heads=",
        "?heads=nosuch&timeline=true",
        "?other=1",
        "?",
        "?%",
    )
    for query in together:
        yield _classify(query, cat(), query=query)
    yield _classify("heads of seventeen", cat(), query="?heads=" + ",".join(f"h{n}" for n in range(17)))
    yield _classify("text, with its time line", b"hello", query="?timeline=true")


def _media_types() -> Iterable[Recorded]:
    taken: tuple[str, ...] = (
        "image/jpg",
        "image/pjpeg",
        "image/x-png",
        "image/*",
        "IMAGE/JPEG",
        "image/jpeg; charset=utf-8",
    )
    taken += ("", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded")
    for media_type in (*taken, "image/gif", "image/avif", "text/plain", "application/pdf", "nonsense", "image"):
        yield _classify(f"content-type {media_type or 'missing'}", cat(), media_type)
    for media_type in ("", "application/octet-stream", "application/x-www-form-urlencoded", "text/html"):
        yield _classify(f"text as {media_type or 'nothing'}", b"hello", media_type)


def _json_forms() -> Iterable[Recorded]:
    text = base64.b64encode(cat()).decode()
    forms: dict[str, bytes] = {
        "a picture": json.dumps({"image": text}).encode(),
        "a picture and more": json.dumps({"a": [1, 2], "image": text, "b": None}).encode(),
        "a data URL": json.dumps({"image": f"data:image/jpeg;base64,{text}"}).encode(),
        "base64 of another alphabet": json.dumps({"image": text.replace("+", "-").replace("/", "_")}).encode(),
        "base64 without padding": json.dumps({"image": text.rstrip("=")}).encode(),
        "base64 in lines": json.dumps({"image": "\n".join(text[at : at + 76] for at in range(0, 760, 76))}).encode(),
        "a field twice": b'{"image": "", "image": "' + text.encode() + b'"}',
        "a byte order mark": b"\xef\xbb\xbf" + json.dumps({"image": text}).encode(),
        "a large picture": json.dumps({"image": base64.b64encode(cat() + bytes(MIB)).decode()}).encode(),
        "bad base64": b'{"image": "%%%"}',
        "no field": b'{"picture": ""}',
        "an empty picture": b'{"image": ""}',
        "a number": b'{"image": 1}',
        "null": b'{"image": null}',
        "a list": b"[]",
        "a text": b'"image"',
        "half": b'{"image": "',
        "nothing": b"",
        "no JSON": b"hello",
        "NaN": b'{"image": NaN}',
        "bytes that are no UTF-8": b'{"image": "\xff"}',
        "100,000 deep": b"[" * 100_000,
        "200,000 values": b"[" + b"1," * 200_000 + b"1]",
        "text in base64": b'{"image": "aGVsbG8="}',
    }
    for name, body in forms.items():
        yield _classify(f"JSON: {name}", body, "application/json")


def _part(name: str, content: bytes, *, more: str = "") -> bytes:
    return f'--b\r\ncontent-disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def _multipart_forms() -> Iterable[Recorded]:
    picture, end, boundary = cat(), b"--b--\r\n", "multipart/form-data; boundary=b"
    forms: dict[str, tuple[bytes, str]] = {
        "a picture": (_part("image", picture, more='; filename="cat.jpg"') + end, boundary),
        "a picture without a file's name": (_part("image", picture) + end, boundary),
        "a quoted boundary": (_part("image", picture) + end, 'multipart/form-data; boundary="b"'),
        "a field before": (_part("a", b"1") + _part("image", picture, more='; filename="a"') + end, boundary),
        "two pictures": (_part("image", picture) + _part("image", picture) + end, boundary),
        "another field": (_part("file", picture) + end, boundary),
        "an empty picture": (_part("image", b"") + end, boundary),
        "text": (_part("image", b"hello") + end, boundary),
        "no end": (_part("image", picture), boundary),
        "cut short": (b"--b\r\ncontent-disp", boundary),
        "no parts": (end, boundary),
        "nothing": (b"", boundary),
        "no boundary": (_part("image", picture) + end, "multipart/form-data"),
        "another boundary": (_part("image", picture) + end, "multipart/form-data; boundary=c"),
        "many parts": (_part("a", b"1") * 2000 + end, boundary),
    }
    for name, (body, media_type) in forms.items():
        yield _classify(f"multipart: {name}", body, media_type)


def _headers() -> Iterable[Recorded]:
    values: dict[str, tuple[str, ...]] = {
        "x-request-timeout-ms": ("20000", "1e4", "0.0001", "0", "-1", "nan", "inf", "soon", "1,2"),
        "x-envoy-expected-rq-timeout-ms": ("20000", "soon"),
        "x-request-id": ("", "a" * 128, "a" * 129, "with space", "<script>"),
        "traceparent": ("", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"),
        "content-encoding": ("identity", "gzip", "deflate", "br", "gzip, gzip", "x-gzip"),
        "accept-encoding": ("gzip", "deflate", "br", "gzip, br"),
        "accept": ("text/html", "application/json"),
        "origin": ("http://localhost", "https://elsewhere.example", "null"),
        "sec-fetch-site": ("same-origin", "cross-site", "none"),
        "host": ("127.0.0.1", "gateway", "elsewhere.example", "localhost:1"),
        "authorization": ("Bearer nonsense", "Basic YTpi"),
        "x-splitway-release": ("blue", "no such"),
        "x-splitway-key": ("somebody",),
        "x-splitway-canary": ("always",),
        "expect": ("100-continue", "something"),
        "content-length": ("-1", "1, 1", "a"),
        "transfer-encoding": ("nonsense",),
        "x-a": ("a" * 20_000,),
    }
    for name, several in values.items():
        for value in several:
            sent = _classify(f"{name}: {value[:40] or 'none'} ({len(value)})", cat(), query="?top_k=1")
            yield replace(sent, headers={**sent.headers, name: value})
    for packing, packed in {"gzip": gzip.compress(cat(), mtime=0), "deflate": zlib.compress(cat())}.items():
        yield _classify(f"packed by {packing}", packed, content_encoding=packing)


def classifications() -> Iterable[Recorded]:
    """All of them."""
    for group in (_pictures, _queries, _media_types, _json_forms, _multipart_forms, _headers):
        yield from group()
