"""Tensor data written as JSON: checked on the way in, plain lists on the way out.

Large JSON is read in steps: the arrays of numbers in it are what takes long, and are read piece by piece. A piece is
cut at a comma and gets the brackets that are open there; its lists are then joined with those before. What comes out is
what reading the text at once gives; whatever is unusual is left to that.
"""

from __future__ import annotations

import re
import secrets
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from splitway.errors import InvalidInput, TooLarge
from splitway.wire.aside import LARGE_BYTES, STEP_BYTES, give_way
from splitway.wire.base64_text import decode_base64
from splitway.wire.tensor import BYTES, Buffer, Parameters, Tensor, numpy_dtype

MAX_JSON_VALUES = 1 << 20
AT_ONCE = 8192
"""Values that are read on an event loop."""
_NUMBERS_AT_ONCE = 1 << 16
"""Checked and converted in one step: a few milliseconds."""
_ARRAY = re.compile(rb'"data"\s{0,16}:\s{0,16}\[')
_END_OF_NUMBERS = re.compile(rb'["{}]')
_MAX_DEPTH = 16
_MOST_QUOTED = 40
_NO_INTEGER = 1 << 63
"""What is written as an integer beyond 64 bits is read as a fraction."""
_TAKEN_TYPES: dict[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}


class ManyValues(Exception):
    """JSON or tensors whose values take too long to read for an event loop, however few bytes they are."""


def loads_bounded(text: bytes, max_bytes: int, max_values: int = MAX_JSON_VALUES, *, at_once: int | None = None) -> Any:
    """Read JSON that came from outside; with `at_once`, only JSON with no more values than that.

    Raises:
        ManyValues: it has more values.
        TooLarge: more bytes, or more values, than are taken: a value of two bytes may cost seventy in memory.
        InvalidInput: not JSON, or nested too deep.
    """
    if len(text) > max_bytes:
        raise TooLarge(f"the JSON has {len(text)} bytes; at most {max_bytes} are allowed")
    values = text.count(b",") + text.count(b"[") + text.count(b"{")
    if values > max_values:
        raise TooLarge(f"the JSON has more than {max_values} values; send tensors as binary")
    if at_once is not None and values > at_once:
        raise ManyValues
    try:
        return orjson.loads(text) if len(text) <= LARGE_BYTES else loads_in_pieces(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the JSON cannot be read: {error}") from error


def loads_in_pieces(text: bytes) -> Any:
    """Read JSON. Raises orjson.JSONDecodeError as `orjson.loads` does."""
    try:
        return _loads_large(text)
    except (orjson.JSONDecodeError, _Unusual):
        return orjson.loads(text)


class _Unusual(Exception):
    """What has to be read at once."""


def _loads_large(text: bytes) -> Any:
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


def decode_json(
    name: str, datatype: str, shape: tuple[int, ...], count: int, data: object, parameters: Parameters
) -> Tensor:
    """Read one tensor's `data`: a flat list, or nested lists of exactly the tensor's shape.

    Raises:
        InvalidInput: another shape, numbers that the datatype cannot hold, or text where numbers belong.
    """
    if not isinstance(data, list):
        raise InvalidInput(f"the data of tensor {name!r} must be a list, not {type(data).__name__}")
    leaves = _leaves(name, shape, data)
    if len(leaves) != count:
        raise InvalidInput(f"tensor {name!r} of shape {list(shape)} takes {count} elements, but data has {len(leaves)}")
    if datatype == BYTES:
        return Tensor(name, BYTES, shape, _texts(name, leaves, parameters.get("content_type") == "base64"), parameters)
    return Tensor(name, datatype, shape, _in_steps(name, datatype, shape, leaves).reshape(shape), parameters)


def _leaves(name: str, shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    """Unpack nested lists, which must be of exactly this shape; a flat list is taken as it is."""
    if not any(isinstance(part, list) for part in data):
        return data
    for depth, size in enumerate(shape[1:], 1):
        if not all(isinstance(part, list) and len(part) == size for part in data):
            raise InvalidInput(
                f"the data of tensor {name!r} is not nested as its shape {list(shape)}, at depth {depth}"
            )
        data = list(chain.from_iterable(data))
    return data


def _in_steps(name: str, datatype: str, shape: tuple[int, ...], leaves: list[Any]) -> NDArray[Any]:
    if len(leaves) <= _NUMBERS_AT_ONCE:
        return _numbers(name, datatype, shape, leaves)
    starts = range(0, len(leaves), _NUMBERS_AT_ONCE)
    return np.concatenate([_numbers(name, datatype, shape, leaves[at : at + _NUMBERS_AT_ONCE], at) for at in starts])


def _numbers(name: str, datatype: str, shape: tuple[int, ...], leaves: list[Any], at: int = 0) -> NDArray[Any]:
    """The values of a tensor from place `at` on. Raises InvalidInput for the first that the datatype cannot hold."""
    dtype = numpy_dtype(name, datatype)
    values = _of_type(dtype, leaves)
    if values is not None:
        return values
    place = _first_misfit(dtype, leaves)
    where = [int(index) for index in np.unravel_index(at + place, shape)]
    reason = _reason(dtype, leaves[place]).format(datatype)
    raise InvalidInput(f"tensor {name!r} at {where}: {as_json(leaves[place])} is {reason}")


def _of_type(dtype: np.dtype[Any], leaves: list[Any]) -> NDArray[Any] | None:
    """The values in this type; None where it cannot hold one of them."""
    if not set(map(type, leaves)) <= _TAKEN_TYPES[dtype.kind]:
        return None
    if dtype.kind in "iu" and leaves:
        limits = np.iinfo(dtype)
        if min(leaves) < limits.min or max(leaves) > limits.max:
            return None
    try:
        with np.errstate(over="raise"):
            return np.array(leaves, dtype)
    except (OverflowError, FloatingPointError):
        return None


def _first_misfit(dtype: np.dtype[Any], leaves: list[Any]) -> int:
    """The place of that value, found by halves and not by a look at each: there may be very many."""
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _of_type(dtype, leaves[low:middle]) is None else (middle, high)
    return low


def _reason(dtype: np.dtype[Any], value: Any) -> str:
    """Why this type cannot hold a value."""
    if dtype.kind in "iu" and type(value) in (int, float):
        limits, beyond = np.iinfo(dtype), type(value) is float and abs(value) >= _NO_INTEGER
        if beyond or not limits.min <= value <= limits.max:
            which = "large" if value > 0 else "small"
            return f"too {which} for {{}}, which holds {limits.min} to {limits.max}"
    if type(value) not in _TAKEN_TYPES[dtype.kind]:
        return "no {}"
    return f"too large for {{}}, which holds up to {np.finfo(dtype).max:g}"


def as_json(value: object) -> str:
    """A value of a request as a refusal quotes it: as it was written, shortened."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = orjson.dumps(value[:_MOST_QUOTED] if isinstance(value, str) else value).decode()
    return text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}..."


def _texts(name: str, leaves: list[Any], is_base64: bool) -> list[Buffer]:
    if not set(map(type, leaves)) <= {str}:
        raise InvalidInput(f"the data of BYTES tensor {name!r} must be strings")
    if not is_base64:
        return [text.encode() for text in leaves]
    try:
        return [decode_base64(text) for text in leaves]
    except ValueError as error:
        raise InvalidInput(f"the data of tensor {name!r} is not base64: {error}") from error


def encode_json(tensor: Tensor) -> Any:
    """Return what stands in `data`: a flat array, or text for BYTES (bytes that are not UTF-8 are replaced)."""
    if tensor.datatype == BYTES:
        return [bytes(element).decode(errors="replace") for element in tensor.elements]
    array = np.ascontiguousarray(tensor.array).reshape(-1)
    return array.tolist() if array.dtype.kind == "b" or array.dtype.itemsize == 2 else array
