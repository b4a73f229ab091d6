"""Frames as fuzz inputs: JSON and binary tensors, apart, so that a change to one does not shift the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from splitway.wire.tensor import BYTES, NUMPY_DTYPES, Tensor, encode_binary

SEPARATOR = b"\n--\n"
_MEASURED = "="
TOKENS = (
    *("inputs", "outputs", "name", "datatype", "shape", "data", "parameters", "id", "model_name", "model_version"),
    *("binary_data_size", "binary_data", "binary_data_output", "classification", "timeout", "feature_space"),
    *("content_type", "base64", "null", "true", "1e999", "-1", "18446744073709551615", BYTES, *NUMPY_DTYPES),
)


def split_frame(data: bytes) -> tuple[bytes, str | None]:
    """The body and the header-length header: an input's first line, which may be empty or `=` for the right one."""
    first, _, rest = data.partition(b"\n")
    head, _, tail = rest.partition(SEPARATOR)
    said = first.decode("latin-1")
    return head + tail, str(len(head)) if said == _MEASURED else said or None


def json_of(data: bytes, lines_before: int = 0) -> tuple[int, int]:
    """Where in an input the frame's JSON is, behind the header's line and those before it."""
    start = 0
    for _ in range(lines_before + 1):
        start = data.find(b"\n", start) + 1
    end = data.find(SEPARATOR, start)
    return start, len(data) if end < 0 else end


def whole_frames(key: str, header: dict[str, Any]) -> Iterator[bytes]:
    """Frames with tensors of every datatype under `key`, binary and as JSON."""
    numbers = [Tensor.of_array(name, np.zeros((1, 2), dtype)) for name, dtype in NUMPY_DTYPES.items()]
    for tensor in (*numbers, Tensor.of_bytes("image", [b"one", b""])):
        raw = b"".join(encode_binary(tensor))
        entry = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        parameters = {"binary_data_size": len(raw), "feature_space": "fs:0123456789abcdef"}
        content = orjson.dumps({**header, key: [entry | {"parameters": parameters}]})
        yield b"=\n" + content + SEPARATOR + raw
        data = ["0.5:1:cat", ""] if tensor.datatype == BYTES else tensor.array.tolist()
        yield b"\n" + orjson.dumps({**header, key: [entry | {"data": data}]})
