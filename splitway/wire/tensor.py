"""Tensors as they travel: Open Inference Protocol datatypes, little-endian, row-major.

A BYTES element is a little-endian uint32 length and that many bytes; every other datatype is its numpy representation
without padding. https://github.com/kserve/open-inference-protocol and Triton's binary tensor data extension.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitway.errors import InvalidInput

Buffer = bytes | memoryview
Arrays = Mapping[str, NDArray[Any]]
"""What runs through a model: arrays by the names of its tensors."""
Parameters = Mapping[str, Any]
NO_PARAMETERS: Parameters = MappingProxyType({})

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BYTES = "BYTES"
DATATYPES: dict[np.dtype[Any], str] = {dtype: name for name, dtype in NUMPY_DTYPES.items()}
MAX_RANK = 8
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class TensorSpec:
    """What a model takes or gives: -1 in the shape stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def check(self, tensor: Tensor) -> None:
        """Raise InvalidInput unless the tensor has this datatype and fits this shape."""
        if tensor.datatype != self.datatype:
            raise InvalidInput(f"tensor {self.name!r} must be {self.datatype}, not {tensor.datatype}")
        fits = len(tensor.shape) == len(self.shape) and all(
            want in (-1, got) for want, got in zip(self.shape, tensor.shape, strict=True)
        )
        if not fits:
            said = f"tensor {self.name!r} must have shape {list(self.shape)}, not {list(tensor.shape)}"
            raise InvalidInput(f"{said}{self._advice(tensor.shape)}")

    def _advice(self, shape: tuple[int, ...]) -> str:
        """What to do about a shape that does not fit."""
        if self.shape[:1] == (-1,) and shape == self.shape[1:]:
            return f": its batch is missing, send {[1, *shape]} for one row"
        return "; -1 stands for any number" if -1 in self.shape else ""

    def metadata(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


class Tensor(NamedTuple):
    """One named tensor. `data` is an array of the tensor's shape, or for BYTES a flat sequence of elements."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | Sequence[Buffer]
    parameters: Parameters = NO_PARAMETERS

    @classmethod
    def of_array(cls, name: str, array: NDArray[Any], parameters: Parameters | None = None) -> Tensor:
        """Wrap a numeric array."""
        return cls(name, DATATYPES[array.dtype.newbyteorder("<")], array.shape, array, parameters or {})

    @classmethod
    def of_bytes(cls, name: str, elements: Sequence[Buffer], shape: tuple[int, ...] | None = None) -> Tensor:
        """Wrap byte strings; without a shape they are one dimension."""
        return cls(name, BYTES, shape or (len(elements),), elements)

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 0

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return self.data.nbytes if isinstance(self.data, np.ndarray) else sum(map(len, self.data))

    @property
    def array(self) -> NDArray[Any]:
        """The numeric data. Raises InvalidInput for BYTES."""
        if isinstance(self.data, np.ndarray):
            return self.data
        raise InvalidInput(f"tensor {self.name!r} is {self.datatype}, where numbers are needed")

    @property
    def elements(self) -> Sequence[Buffer]:
        """The byte strings. Raises InvalidInput for numbers."""
        if isinstance(self.data, np.ndarray):
            raise InvalidInput(f"tensor {self.name!r} is {self.datatype}, where BYTES are needed")
        return self.data


def element_count(name: str, shape: object, max_elements: int) -> tuple[tuple[int, ...], int]:
    """Check a shape that came from outside and return it with its number of elements.

    Raises:
        InvalidInput: not a list of non-negative integers, of too high a rank, or over `max_elements`.
    """
    if isinstance(shape, list) and len(shape) > MAX_RANK:
        raise InvalidInput(f"tensor {name!r} has {len(shape)} dimensions; at most {MAX_RANK} are allowed")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise InvalidInput(f"the shape of tensor {name!r} must be a list of integers from 0 up")
    count = math.prod(shape)
    if math.prod(n or 1 for n in shape) > max_elements:  # a zero must not hide what numpy cannot shape either
        raise InvalidInput(f"tensor {name!r} of shape {shape} has {count} elements; at most {max_elements} are allowed")
    return tuple(shape), count


def decode_binary(
    name: str, datatype: str, shape: tuple[int, ...], count: int, raw: memoryview, parameters: Parameters | None = None
) -> Tensor:
    """Read one tensor's raw bytes; numbers become a read-only view of them, not a copy."""
    if datatype == BYTES:
        return Tensor(name, BYTES, shape, _split_elements(name, count, raw), parameters or {})
    dtype = numpy_dtype(name, datatype)
    if raw.nbytes != count * dtype.itemsize:
        raise InvalidInput(
            f"tensor {name!r}, {datatype} of shape {list(shape)}, takes {count * dtype.itemsize} bytes, "
            f"but {raw.nbytes} were sent"
        )
    return Tensor(name, datatype, shape, np.frombuffer(raw, dtype).reshape(shape), parameters or {})


def numpy_dtype(name: str, datatype: object) -> np.dtype[Any]:
    """The numpy type of a numeric datatype. Raises InvalidInput for one that is not known."""
    if not isinstance(datatype, str) or datatype not in NUMPY_DTYPES:
        raise unknown_datatype(name, datatype)
    return NUMPY_DTYPES[datatype]


def unknown_datatype(name: str, datatype: object) -> InvalidInput:
    """The refusal of a tensor whose datatype is none; it names those that there are."""
    known = ", ".join((*NUMPY_DTYPES, BYTES))
    if datatype is None:
        return InvalidInput(f"tensor {name!r} has no datatype: there are {known}")
    return InvalidInput(f"tensor {name!r} has datatype {str(datatype)[:40]!r}, which is not known: there are {known}")


def _split_elements(name: str, count: int, raw: memoryview) -> list[Buffer]:
    elements: list[Buffer] = []
    start = 0
    for index in range(count):
        end = start + _LENGTH.size
        if end > raw.nbytes:
            raise InvalidInput(f"tensor {name!r} ends before element {index} of {count}")
        length = _LENGTH.unpack_from(raw, start)[0]
        start, end = end, end + length
        if end > raw.nbytes:
            raise InvalidInput(f"element {index} of tensor {name!r} says {length} bytes, but fewer follow")
        elements.append(raw[start:end])
        start = end
    if start != raw.nbytes:
        raise InvalidInput(f"tensor {name!r} has {raw.nbytes - start} bytes left after its {count} elements")
    return elements


def encode_binary(tensor: Tensor) -> list[Buffer]:
    """Return the tensor's raw bytes as buffers to be joined; a contiguous array is not copied."""
    if tensor.datatype == BYTES:
        return [part for element in tensor.elements for part in (_LENGTH.pack(len(element)), element)]
    array = np.ascontiguousarray(tensor.array, NUMPY_DTYPES[tensor.datatype])
    return [array.reshape(-1).view(np.uint8).data]
