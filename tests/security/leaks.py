"""What no answer and no log may have in it, and everything that makes a pipeline speak."""

from __future__ import annotations

import base64
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from testkit.support import picture

ROOT = Path(__file__).parent.parent.parent
CLASSIFY, INFER = "/v1/classify", "/v2/models/pipeline/infer"
HEALTH = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2", "/v2/models/pipeline")
SENT = {
    "cookie": "session=canary-cookie",
    "x-splitway-key": "canary-routing-key",
    "baggage": "who=canary-baggage",
    "x-api-key": "canary-api-key",
}
"""Beside every request; none of it is anybody's but the caller's."""
_DESCRIPTION = 0x010E
CANARY = re.compile("canary-[a-z-]+[a-z]")
_PLACES = {
    "a stack trace": re.compile(r'Traceback|File "|, line \d+'),
    "a path": re.compile(r"(?<![\w/])/(?:home|root|usr|tmp|etc|var|opt|proc|work|app|bin|lib)/|site-packages|\w\.py\b"),
    "an address": re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\blocalhost:\d|https?://"),
    "an object": re.compile(r" at 0x[0-9a-f]{6,}"),
}
_HERE = (str(ROOT), sys.prefix, sys.base_prefix, socket.gethostname())


def leaks(text: str, *private: str) -> list[str]:
    """What of a machine, or of what is named as private, stands in a text."""
    found = [f"{name}: {match[0]}" for name, pattern in _PLACES.items() if (match := pattern.search(text))]
    return [*found, *(f"private: {each}" for each in (*_HERE, *private) if each in text)]


def told(reply: httpx.Response) -> str:
    """All that an answer says: status, headers, body."""
    return f"{reply.status_code} {dict(reply.headers)} {reply.content.decode(errors='replace')}"


def marked_picture() -> bytes:
    """A good picture with words in it, as cameras leave them."""
    words, exif = PngInfo(), Image.Exif()
    words.add_text("Comment", "canary-picture-text")
    exif[_DESCRIPTION] = "canary-exif"
    return picture(pnginfo=words, exif=exif)


def _infer(client: httpx.Client, path: str, tensor: Tensor, **headers: str) -> httpx.Response:
    body, length = build_request(InferRequest((tensor,)))
    return client.post(path, content=body, headers={HEADER_LENGTH: length, **SENT, **headers})


def ask_the_gateway(client: httpx.Client) -> Iterator[tuple[str, httpx.Response]]:
    """Everything that a caller may do wrong, and what he does right; the answers by what was asked."""

    def classify(name: str, content: bytes, query: str = "", **headers: str) -> tuple[str, httpx.Response]:
        kind = headers.pop("content_type", "image/jpeg")
        asked = {"content-type": kind, **SENT, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return name, client.post(f"{CLASSIFY}{query}", content=content, headers=asked)

    good = marked_picture()
    yield classify("a good one", good, "?timeline=true&note=canary-query")
    for format_ in ("JPEG", "PNG", "WEBP"):
        whole = picture(size=(300, 200), format_=format_)
        yield classify(f"half a {format_}", whole[: len(whole) // 2])
        yield classify(f"a twisted {format_}", whole[:40] + bytes(reversed(whole[40:])))
    yield classify("a broken chunk", good[:33] + b"\0\0\0\x05abcd" + good[40:])
    yield classify("no picture", b"canary-body")
    yield classify("nothing", b"")
    yield classify("a picture that is no base64", b'{"image": "canary-base64%"}', content_type="application/json")
    encoded = base64.b64encode(good)
    yield classify("a picture in JSON", b'{"image": "' + encoded + b'"}', content_type="application/json")
    yield classify("JSON cut short", b'{"image": "canary-body', content_type="application/json")
    yield classify("deep JSON", b"[" * 50_000, content_type="application/json")
    yield classify("a multipart cut short", b"--b\r\ncontent-disp", content_type="multipart/form-data; boundary=b")
    yield classify("a multipart without a boundary", b"--b", content_type="multipart/form-data")
    yield classify("another media type", b"x", content_type="text/canary-type")
    yield classify("another encoding", b"x", content_encoding="br")
    yield classify("no gzip", b"x", content_encoding="gzip")
    yield classify("a number that is none", good, "?top_k=canary-top-k")
    yield classify("a head that there is not", good, "?heads=canary-head")
    yield classify("a head among others", good, "?heads=classifier,canary-head&timeline=true")
    yield classify("a release that there is not", good, x_splitway_release="canary-release")
    yield classify("a side that there is not", good, x_splitway_canary="canary-side")
    yield classify("no time", good, "?timeline=true", x_request_timeout_ms="1")
    yield classify("a time that is none", good, x_request_timeout_ms="canary-time")
    yield classify("a trace", good, traceparent=f"00-{'1' * 32}-{'2' * 16}-01", tracestate="canary-state=1")
    for path in (*HEALTH, "/v1/nothing", "/v2/models/nobody", "/v2/models/pipeline/versions/9", "/%1b[2J%0d%0a"):
        yield path, client.get(path, headers=SENT)
    yield "a long path", client.get("/" + "x" * 8000)
    yield "another method", client.request("PROPFIND", CLASSIFY, headers=SENT)
    yield "GET of what takes POST", client.get(CLASSIFY, headers=SENT)
    yield "a host that is none", client.get("/v1/nothing", headers={"host": "["})
    yield "an odd host", client.post(CLASSIFY, content=b"x", headers={"host": "a/b"})
    yield "text", _infer(client, INFER, Tensor.of_bytes("image", [b"canary-body"]))
    yield "numbers", _infer(client, INFER, Tensor.of_array("image", np.zeros((1, 2), np.float32)))
    yield "a long name", client.post(INFER, json={"inputs": [{"name": "n" * 100_000, "shape": [1]}]}, headers=SENT)
    yield "JSON that is none", client.post(INFER, content=b'{"inputs": canary-body', headers=SENT)
    yield "a header length that is none", client.post(INFER, content=b"{}", headers={HEADER_LENGTH: "canary-length"})
    yield "administration", client.post("/v2/repository/index", headers=SENT)


def ask_a_stage(client: httpx.Client, stage: str) -> Iterator[tuple[str, httpx.Response]]:
    """What may be asked of a stage itself, by the gateway or by an administrator; `client` may do both."""
    for path in ("/livez", "/readyz", "/v2/health/ready", "/v2", "/v1/stage", "/v1/nothing", f"/v2/models/{stage}"):
        yield path, client.get(path, headers=SENT)
    for number in range(1, 6):
        yield f"version {number}", client.get(f"/v2/models/{stage}/versions/{number}", headers=SENT)
    foreign = Tensor.of_array("features", np.zeros((1, 4), np.float32), {"feature_space": "canary-space"})
    for name, tensor in (("foreign features", foreign), ("no picture", Tensor.of_bytes("image", [b"canary-body"]))):
        yield name, _infer(client, f"/v2/models/{stage}/infer", tensor)
    yield "index", client.post("/v2/repository/index", headers=SENT)
    for number in range(1, 7):
        content = {"parameters": {"version": str(number)}}
        yield f"load {number}", client.post(f"/v2/repository/models/{stage}/load", json=content, headers=SENT)
    yield "load nonsense", client.post(f"/v2/repository/models/{stage}/load", content=b"canary-body", headers=SENT)


def check(answers: Iterable[tuple[str, httpx.Response]], *private: str) -> dict[str, int]:
    """Assert that no answer leaks; return the statuses by what was asked."""
    statuses = {}
    for name, reply in answers:
        found = leaks(told(reply), *private)
        assert not found, f"{name}: {found} in {told(reply)}"
        assert len(told(reply)) < 8000, f"{name}: {len(told(reply))} characters"
        statuses[name] = reply.status_code
    return statuses
