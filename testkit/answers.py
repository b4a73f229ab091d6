"""Answers over HTTP, without what may differ from run to run, and what differs between two of them."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_PATIENCE_S = 60
_HEADER_LENGTH = "inference-header-content-length"
_SENTENCES = frozenset({"title", "detail", "error", "reason", "problem"})
_CHANGING = frozenset({"ended", "failed", "limit", "retry_budget"})
"""What is counted over the last second, or follows how fast the machine is."""
_TIME = re.compile(r"(^|_)(ms|s)$")
_PLACE = re.compile(r"\b(https?://)?(localhost|127\.0\.0\.1|\[::1\]):[0-9]+")
_MADE_ID = re.compile(r"[0-9a-f]{32}")
_DURATION = re.compile(r"dur=[0-9.e+-]+")
_PACKINGS = {"gzip": 31, "deflate": 15}
_HEADERS_ASIDE = frozenset({"date", "content-length"})
"""The length follows the sentences and the digits of the times."""
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="')


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    """0 where the connection was closed without a word."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first of that name; empty if there is none."""
        return next((value for each, value in self.headers if each == name), "")


def exchange(address: tuple[str, int], request: bytes, *, is_head: bool = False) -> Answer:
    """Send a whole request over a connection of its own and read the answer."""
    with socket.create_connection(address, timeout=_PATIENCE_S) as connection:
        with suppress(ConnectionError):  # the answer may come before all is sent
            connection.sendall(request)
        reply = http.client.HTTPResponse(connection, method="HEAD" if is_head else "GET")
        try:
            reply.begin()
            headers = tuple((name.lower(), value) for name, value in reply.getheaders())
            return Answer(reply.status, headers, reply.read())
        except (http.client.BadStatusLine, ConnectionError):
            return Answer(0)
        finally:
            reply.close()


def essence(answer: Answer) -> dict[str, Any]:
    """What must stay the same of an answer: its status, headers and content without times, made-up ids, sentences,
    places and Splitway's version."""
    headers: dict[str, Any] = {}
    for name, value in answer.headers:
        if name not in _HEADERS_ASIDE:
            headers.setdefault(name, []).append(_plain_header(name, value))
    return {"status": answer.status, "headers": headers, "content": _content(answer)}


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Each place at which two essences differ, with both values."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [*before, *(name for name in after if name not in before)]
        return [
            found
            for name in names
            for found in differences(before.get(name, _NOTHING), after.get(name, _NOTHING), f"{place}/{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [found for at, (one, other) in pairs for found in differences(one, other, f"{place}/{at}")]
    if type(before) is type(after) and before == after:
        return []
    return [f"{place}: {_shown(before)} before, {_shown(after)} after"]


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _plain_header(name: str, value: str) -> str:
    if name == "retry-after":
        return "<seconds>"
    return _DURATION.sub("dur=<time>", _plain_text(value))


def _plain_text(text: str) -> str:
    return _PLACE.sub("<place>", _MADE_ID.sub("<id>", text))


def _content(answer: Answer) -> Any:
    media_type, body = answer.header("content-type").partition(";")[0], answer.body
    if answer.header("content-encoding") in _PACKINGS:
        body = zlib.decompress(body, _PACKINGS[answer.header("content-encoding")])
    if media_type.endswith("json"):
        return _plain(json.loads(body)) if body else None
    if answer.header(_HEADER_LENGTH):
        length = int(answer.header(_HEADER_LENGTH))
        return {"head": _plain(json.loads(body[:length])), "tensors": _digest(body[length:])}
    if media_type == "text/plain" and b"# TYPE " in body:
        return _metrics(body.decode())
    return _digest(body)


def _digest(body: bytes) -> str:
    return f"{len(body)} bytes, {hashlib.sha256(body).hexdigest()[:16]}"


def _plain(value: Any, name: str = "") -> Any:
    """JSON with what may differ replaced by what it is."""
    if isinstance(value, dict):
        is_product = value.keys() >= {"version", "extensions"} or value.keys() >= {"version", "uptime_s"}
        inner = {each: _plain(part, each) for each, part in value.items()}
        if _TIME.search(name):
            inner = {each: _plain(part, name) for each, part in value.items()}
        return inner | ({"version": "<version>"} if is_product else {})
    if isinstance(value, list):
        return [_plain(part, name) for part in value]
    if _TIME.search(name):
        return "<time>"  # or None, where none has been measured yet
    if name in _SENTENCES and isinstance(value, str):
        return "<sentence>"
    if name in _CHANGING:
        return "<changing>"
    return _plain_text(value) if isinstance(value, str) else value


def _metrics(text: str) -> dict[str, Any]:
    """Metrics' names and types, and the labels of each; no values and no help."""
    types: dict[str, str] = {}
    labels: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, type_ = line.split(" ", 3)
            types[name] = type_
        elif found := _SAMPLE.match(line):
            labels.setdefault(found[1], set()).update(_LABEL.findall(found[2] or ""))
    return {"types": types, "labels": {name: sorted(each) for name, each in labels.items()}}
