"""Read the tensors of a PyTorch checkpoint in its legacy format, without PyTorch.

The format (PyTorch before 1.6) is a sequence of pickles, magic number, protocol, system information, state dict and
the list of storage keys, followed by each storage as an int64 element count and its raw little-endian elements. Tensors
are views: each names a storage, an offset and strides, and they need not be contiguous.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.errors import BundleError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_STORAGE_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_ITEMS_BEFORE_STORAGES = 5


@dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _TensorView:
    key: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storage: NDArray[Any]) -> NDArray[Any]:
        """Copy the view out of its storage, after checking that it lies inside."""
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.strides, 0) < 0 or last >= storage.size:
            raise BundleError(f"checkpoint tensor of shape {self.shape} reaches outside its storage {self.key!r}")
        strides = tuple(s * storage.itemsize for s in self.strides)
        view = np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides, writeable=False)
        return np.ascontiguousarray(view)


def _rebuild_tensor(
    storage: tuple[str, np.dtype[Any]], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _TensorView:
    key, dtype = storage
    return _TensorView(key, dtype, offset, tuple(shape), tuple(strides))


class _TensorOnlyUnpickler(pickle.Unpickler):
    """Knows the four names a state dict needs; every other global ends the read."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return _StorageType(dtype=_STORAGE_DTYPES[name])
        raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}, which a state dict does not need")

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype[Any]]:
        _, storage_type, key, *_ = pid
        return str(key), storage_type.dtype


def read_state_dict(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the checkpoint's tensors by name, each a contiguous copy in its own shape.

    Raises BundleError if the bytes are not such a checkpoint, or ask for more than tensors.
    """
    stream = io.BytesIO(data)
    try:
        magic, _, _, state, keys = (_TensorOnlyUnpickler(stream).load() for _ in range(_ITEMS_BEFORE_STORAGES))
        if magic != MAGIC_NUMBER:
            raise BundleError("not a legacy PyTorch checkpoint: the magic number differs")
        dtypes = {view.key: view.dtype for view in state.values()}
        storages = {}
        for key in keys:
            count = int(np.frombuffer(stream.read(8), "<i8")[0])
            storages[key] = np.frombuffer(stream.read(count * dtypes[key].itemsize), dtypes[key], count)
        return {name: view.read(storages[view.key]) for name, view in state.items()}
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BundleError(f"cannot read the PyTorch checkpoint: {error}") from error
