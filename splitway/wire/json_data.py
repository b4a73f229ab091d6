"""Tensor data written as JSON: checked on the way in, plain lists on the way out."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.errors import InvalidInput
from splitway.wire.tensor import BYTES, Buffer, Parameters, Tensor, numpy_dtype

_TAKEN_KINDS = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}


def decode_json(
    name: str, datatype: str, shape: tuple[int, ...], count: int, data: object, parameters: Parameters
) -> Tensor:
    """Read one tensor's `data`: a flat list, or nested lists of exactly the tensor's shape.

    Raises:
        InvalidInput: another shape, numbers that the datatype cannot hold, or text where numbers belong.
    """
    if not isinstance(data, list):
        raise InvalidInput(f"the data of tensor {name!r} must be a list, not {type(data).__name__}")
    if datatype == BYTES:
        elements = _flat_elements(name, data, len(shape), parameters.get("content_type") == "base64")
        if len(elements) != count:
            raise _size_error(name, shape, count, len(elements))
        return Tensor(name, BYTES, shape, elements, parameters)
    array = _numbers(name, datatype, data)
    if array.size != count:
        raise _size_error(name, shape, count, array.size)
    if array.ndim != 1 and array.shape != shape:
        raise InvalidInput(f"the data of tensor {name!r} is nested as {list(array.shape)}, its shape is {list(shape)}")
    return Tensor(name, datatype, shape, array.reshape(shape), parameters)


def _size_error(name: str, shape: tuple[int, ...], count: int, got: int) -> InvalidInput:
    return InvalidInput(f"tensor {name!r} of shape {list(shape)} takes {count} elements, but data has {got}")


def _numbers(name: str, datatype: str, data: list[Any]) -> NDArray[Any]:
    dtype = numpy_dtype(name, datatype)
    try:
        raw = np.array(data)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"the data of tensor {name!r} is no regular array of numbers: {error}") from error
    if raw.size == 0:
        return np.empty(0, dtype)
    if raw.dtype.kind not in _TAKEN_KINDS[dtype.kind]:
        raise InvalidInput(f"the data of tensor {name!r} holds values that are not {datatype}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(raw.min()) < limits.min or int(raw.max()) > limits.max:
            raise InvalidInput(f"the data of tensor {name!r} has numbers outside {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused as such by the data plane
        return raw.astype(dtype)


def _flat_elements(name: str, data: list[Any], depth: int, is_base64: bool) -> list[Buffer]:
    for _ in range(depth - 1):
        if not all(isinstance(part, list) for part in data):
            break
        data = [element for part in data for element in part]
    if not all(isinstance(element, str) for element in data):
        raise InvalidInput(f"the data of BYTES tensor {name!r} must be strings")
    if not is_base64:
        return [element.encode() for element in data]
    try:
        return [base64.b64decode(element, validate=True) for element in data]
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"the data of tensor {name!r} is not base64: {error}") from error


def encode_json(tensor: Tensor) -> Any:
    """Return what stands in `data`: a flat array, or text for BYTES (bytes that are not UTF-8 are replaced)."""
    if tensor.datatype == BYTES:
        return [bytes(element).decode(errors="replace") for element in tensor.elements]
    array = np.ascontiguousarray(tensor.array).reshape(-1)
    return array.tolist() if array.dtype.kind == "b" or array.dtype.itemsize == 2 else array
