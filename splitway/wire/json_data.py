"""Tensor data written as JSON: checked on the way in, plain lists on the way out."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from splitway.errors import InvalidInput, TooLarge
from splitway.wire.aside import LARGE_BYTES
from splitway.wire.base64_text import decode_base64
from splitway.wire.json_pieces import loads_in_pieces
from splitway.wire.tensor import BYTES, Buffer, Parameters, Tensor, numpy_dtype

MAX_JSON_VALUES = 1 << 20
_NUMBERS_AT_ONCE = 1 << 16
"""Checked and converted in one step: a few milliseconds."""
_TAKEN_TYPES: dict[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}


def loads_bounded(text: bytes, max_bytes: int, max_values: int = MAX_JSON_VALUES) -> Any:
    """Read JSON that came from outside.

    Raises:
        TooLarge: more bytes, or more values, than are taken: a value of two bytes may cost seventy in memory.
        InvalidInput: not JSON, or nested too deep.
    """
    if len(text) > max_bytes:
        raise TooLarge(f"the JSON has {len(text)} bytes; at most {max_bytes} are taken")
    if text.count(b",") + text.count(b"[") + text.count(b"{") > max_values:
        raise TooLarge(f"the JSON has more than {max_values} values; send tensors as binary")
    try:
        return orjson.loads(text) if len(text) <= LARGE_BYTES else loads_in_pieces(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the JSON cannot be read: {error}") from error


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
    return Tensor(name, datatype, shape, _in_steps(name, datatype, leaves).reshape(shape), parameters)


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


def _in_steps(name: str, datatype: str, leaves: list[Any]) -> NDArray[Any]:
    if len(leaves) <= _NUMBERS_AT_ONCE:
        return _numbers(name, datatype, leaves)
    starts = range(0, len(leaves), _NUMBERS_AT_ONCE)
    return np.concatenate([_numbers(name, datatype, leaves[at : at + _NUMBERS_AT_ONCE]) for at in starts])


def _numbers(name: str, datatype: str, leaves: list[Any]) -> NDArray[Any]:
    dtype = numpy_dtype(name, datatype)
    if not set(map(type, leaves)) <= _TAKEN_TYPES[dtype.kind]:
        raise InvalidInput(f"the data of tensor {name!r} holds values that are not {datatype}")
    if dtype.kind in "iu" and leaves:
        limits = np.iinfo(dtype)
        if min(leaves) < limits.min or max(leaves) > limits.max:
            raise InvalidInput(f"the data of tensor {name!r} has numbers outside {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused as such by the data plane
        try:
            return np.array(leaves, dtype)
        except OverflowError as error:
            raise InvalidInput(f"the data of tensor {name!r} has numbers too large for {datatype}") from error


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
