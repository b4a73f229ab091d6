"""Variables, large constants and tables of a SavedModel, as numbers in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from splitway.errors import ModelError

_TABLES = ("HashTableV2", "MutableHashTableV2")


@dataclass(frozen=True)
class Held:
    """A variable, a constant or a table beside a graph, and what an export has to keep hold of."""

    keeper: Any
    dtype: str
    shape: tuple[int, ...]
    numpy: Callable[[], NDArray[Any]]
    """Its numbers."""


def table(keeper: Any, handle: Any) -> tuple[Held, ...]:
    """A table's keys and values, in the order of the keys. Raises ModelError if it cannot be read."""
    for keys, values in _kinds_of(keeper):
        try:
            exported = tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=keys, Tvalues=values)
        except (tf.errors.OpError, TypeError):
            continue
        pairs = [np.asarray(each.numpy()) for each in exported]
        order = np.argsort(pairs[0], kind="stable")
        return tuple(held_array(array[order], keeper) for array in pairs)
    raise ModelError("it has a lookup table whose keys and values cannot be read: replace the table by a layer's own")


def _kinds_of(keeper: Any) -> Iterator[tuple[Any, Any]]:
    """The datatypes of a table's keys and values, as what makes it says: to ask with others ends the process."""
    for function in getattr(keeper._create_resource, "concrete_functions", ()):
        for operation in function.graph.get_operations():
            if operation.type in _TABLES:
                yield operation.get_attr("key_dtype"), operation.get_attr("value_dtype")


def held_array(array: NDArray[Any], keeper: Any = None) -> Held:
    """Numbers that are in memory."""
    return Held(keeper, tf.as_dtype(array.dtype).name, array.shape, lambda: plain(array))


def plain(value: NDArray[Any]) -> NDArray[Any]:
    """An array whose bytes are its values: strings, which numpy holds by reference, one after the other."""
    if value.dtype != object:
        return value
    texts = [text if isinstance(text, bytes) else str(text).encode() for text in value.ravel()]
    return np.frombuffer(b"".join(len(t).to_bytes(8, "big") + t for t in texts), np.uint8)
