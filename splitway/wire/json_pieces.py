"""Large JSON read in steps: the arrays of numbers in it are what takes long, and are read piece by piece.

A piece is cut at a comma and gets the brackets that are open there; its lists are then joined with those before. What
comes out is what reading the text at once gives; whatever is unusual is left to that.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import orjson

from splitway.wire.aside import LARGE_BYTES, STEP_BYTES, give_way

_ARRAY = re.compile(rb'"data"\s{0,16}:\s{0,16}\[')
_END_OF_NUMBERS = re.compile(rb'["{}]')
_MAX_DEPTH = 16


def loads_in_pieces(text: bytes) -> Any:
    """Read JSON. Raises orjson.JSONDecodeError as `orjson.loads` does."""
    try:
        return _loads(text)
    except (orjson.JSONDecodeError, _Unusual):
        return orjson.loads(text)


class _Unusual(Exception):
    """What has to be read at once."""


def _loads(text: bytes) -> Any:
    token = secrets.token_hex(8)
    around: list[bytes] = []
    arrays: list[list[Any]] = []
    at = 0
    for begins in _ARRAY.finditer(text):
        start = begins.end() - 1
        if start < at:
            continue
        limit = _END_OF_NUMBERS.search(text, start)
        end = text.rfind(b"]", start, limit.start() if limit else len(text)) + 1
        if end - start <= LARGE_BYTES:
            continue
        around += [text[at:start], f'"{token}{len(arrays)}"'.encode()]
        arrays.append(_array(text, start, end))
        at = end
        give_way()
    content = orjson.loads(b"".join((*around, text[at:])))
    return _filled(content, {f"{token}{number}": array for number, array in enumerate(arrays)})


def _array(text: bytes, start: int, end: int) -> list[Any]:
    """The nested lists of numbers that are written there."""
    lists: list[Any] = []
    depth, at = 0, start
    while at < end:
        cut = text.find(b",", at + STEP_BYTES, end)
        piece = text[at : cut if cut >= 0 else end]
        after = depth + piece.count(b"[") - piece.count(b"]")
        bare = piece.strip()  # beside a comma JSON wants a value, which the brackets around a piece would hide
        is_whole = (after == 0) == (cut < 0) and not bare.startswith(b"]") and not bare.endswith(b"[")
        if not (is_whole and 0 <= after <= _MAX_DEPTH):
            raise _Unusual
        read = orjson.loads(b"[" * depth + piece + b"]" * after)
        lists = _joined(lists, read, depth) if depth else read
        depth, at = after, cut + 1 if cut >= 0 else end
        give_way()
    return lists


def _joined(lists: list[Any], more: list[Any], depth: int) -> list[Any]:
    """Add what follows at this depth."""
    left, right = lists, more
    for _ in range(depth - 1):
        last, first = left[-1], right[0]
        if not isinstance(last, list) or not isinstance(first, list):
            raise _Unusual
        left.extend(right[1:])
        left, right = last, first
    left.extend(right)
    return lists


def _filled(content: Any, arrays: dict[str, list[Any]]) -> Any:
    """Put the arrays where their tokens stand: each is the data of an input."""
    tensors = content.get("inputs") if isinstance(content, dict) else None
    for tensor in tensors if isinstance(tensors, list) else ():
        token = tensor.get("data") if isinstance(tensor, dict) else None
        if isinstance(token, str) and token in arrays:
            tensor["data"] = arrays.pop(token)
    if arrays:
        raise _Unusual
    return content
