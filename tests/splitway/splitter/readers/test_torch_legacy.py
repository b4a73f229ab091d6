from __future__ import annotations

import pickle
import struct
from typing import Any

import numpy as np
import pytest

from splitway.errors import BundleError
from splitway.splitter.readers.torch_legacy import MAGIC_NUMBER, read_state_dict


def _tensor(key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """Opcodes of torch._utils._rebuild_tensor_v2((storage), offset, size, stride, requires_grad, hooks)."""
    pid = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + _text(key) + _text("cpu") + b"K\x00NtQ"
    numbers = b"".join(_tuple(part) for part in (shape, strides))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + _int(offset) + numbers + b"\x89Nt" + b"R"


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_int(v) for v in values) + b"t"


def _checkpoint(tensors: dict[str, bytes], storage: np.ndarray[Any, Any], magic: int = MAGIC_NUMBER) -> bytes:
    items = b"".join(_text(name) + code for name, code in tensors.items())
    state = b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."
    parts: tuple[object, ...] = (magic, 1001, {"little_endian": True})
    head = b"".join(pickle.dumps(part, protocol=2) for part in parts)
    return head + state + pickle.dumps(["7"], protocol=2) + struct.pack("<q", storage.size) + storage.tobytes()


def test_offset_and_strides_are_honoured() -> None:
    storage = np.arange(12, dtype="<f4")
    data = _checkpoint({"a": _tensor("7", 0, (3, 4), (4, 1)), "b": _tensor("7", 1, (4, 2), (1, 4))}, storage)
    state = read_state_dict(data)
    np.testing.assert_array_equal(state["a"], storage.reshape(3, 4))
    np.testing.assert_array_equal(state["b"], [[1, 5], [2, 6], [3, 7], [4, 8]])
    assert state["b"].flags.c_contiguous


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(0, (13,), (1,)), (12, (1,), (1,)), (-1, (2,), (1,)), (0, (2,), (-1,))]
)
def test_a_view_outside_its_storage_is_refused(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    data = _checkpoint({"a": _tensor("7", offset, shape, strides)}, np.arange(12, dtype="<f4"))
    with pytest.raises(BundleError, match="outside its storage"):
        read_state_dict(data)


def test_a_checkpoint_that_asks_for_code_is_refused() -> None:
    evil = b"\x80\x02cos\nsystem\n" + _text("true") + b"\x85R."
    parts: tuple[object, ...] = (MAGIC_NUMBER, 1001, {})
    head = b"".join(pickle.dumps(part, protocol=2) for part in parts)
    with pytest.raises(BundleError, match=r"asks for os\.system"):
        read_state_dict(head + evil)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", pickle.dumps(1)], ids=["empty", "zip", "cut short"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        read_state_dict(data)


def test_another_magic_number_is_refused() -> None:
    with pytest.raises(BundleError, match="magic number"):
        read_state_dict(_checkpoint({}, np.zeros(0, "<f4"), magic=1))


def test_a_storage_cut_short_is_refused() -> None:
    data = _checkpoint({"a": _tensor("7", 0, (12,), (1,))}, np.arange(12, dtype="<f4"))
    with pytest.raises(BundleError):
        read_state_dict(data[:-4])
