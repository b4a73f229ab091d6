"""Open Inference Protocol v2 messages, as JSON or as a JSON header with binary tensors behind it.

Whether a body is binary is said by `Inference-Header-Content-Length` alone, never by its Content-Type. Binary tensors
follow the JSON header in the order in which it names them, little-endian and without padding.
https://github.com/kserve/open-inference-protocol, Triton's binary tensor data and classification extensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from splitway.errors import InvalidInput, TooLarge
from splitway.wire.aside import LARGE_BYTES
from splitway.wire.gathered import Body, Gathered
from splitway.wire.json_data import MAX_JSON_VALUES, ManyValues, decode_json, encode_json, loads_bounded
from splitway.wire.messages import ALL_LABELS, BINARY_DATA, BINARY_OUTPUT, InferRequest, InferResponse, RequestedOutput
from splitway.wire.misread import unread
from splitway.wire.tensor import (
    BYTES,
    Buffer,
    Tensor,
    decode_binary,
    element_count,
    encode_binary,
    unknown_datatype,
)
from splitway.wire.v2_fields import check_flag, read_id, read_name, read_objects, read_parameters

HEADER_LENGTH = "inference-header-content-length"
EXTENSIONS = ["binary_tensor_data", "classification"]
DEFAULT_MAX_ELEMENTS = 1 << 26
MAX_BYTES_ELEMENTS = 1 << 17  # each costs a Python object, however short it is
MAX_HEADER_BYTES = 1 << 20
MAX_OUTPUTS = 256
_AS_ONE_TEXT = 16
"""Values that cost what reading an element of BYTES does."""
_FEW_TENSORS = 64


def parse_request(
    body: Buffer,
    header_length: str | None,
    *,
    max_elements: int = DEFAULT_MAX_ELEMENTS,
    max_rows: int | None = None,
    max_json_values: int = MAX_JSON_VALUES,
    at_once: int | None = None,
) -> InferRequest:
    """Read an inference request; with `at_once`, only one of no more values than that, or as much in BYTES.

    Raises:
        ManyValues: there are more of them.
        InvalidInput: with what is wrong and where.
        TooLarge: more rows, or JSON with more values, than are taken; before any tensor is read.
    """
    try:
        header, tail = _split(body, header_length, max_json_values, at_once)
    except (InvalidInput, TooLarge) as error:
        said = unread(error, body, HEADER_LENGTH, header_length)
        if said is error:
            raise
        raise said from error
    if max_rows is not None:
        _check_rows(header, max_rows)
    outputs = _requested_outputs(header)
    inputs = _tensors(header, "inputs", tail, max_elements, at_once)
    if not inputs:
        raise InvalidInput("the request has no inputs")
    parameters = read_parameters(header, "the request")
    if BINARY_OUTPUT in parameters:
        check_flag(parameters, BINARY_OUTPUT, "the request")
    return InferRequest(inputs, outputs, read_id(header), parameters)


def parse_response(
    body: Buffer, header_length: str | None, *, max_elements: int = DEFAULT_MAX_ELEMENTS
) -> InferResponse:
    """Read an inference response. Raises InvalidInput with what is wrong and where."""
    header, tail = _split(body, header_length)
    name, version = header.get("model_name"), header.get("model_version", "")
    if not isinstance(name, str) or not isinstance(version, str):
        raise InvalidInput("the answer does not name its model")
    outputs = _tensors(header, "outputs", tail, max_elements)
    return InferResponse(name, version, outputs, read_id(header), read_parameters(header, "the answer"))


def build_request(request: InferRequest) -> tuple[bytes, str]:
    """Return the body with every input as binary, and the value of the header-length header."""
    body, length = gather_request(request)
    return (body if isinstance(body, bytes) else b"".join(body.parts)), length


def gather_request(request: InferRequest) -> tuple[Body, str]:
    """As `build_request`, but of a large request the tensors are not copied into the body."""
    inputs, buffers = _entries(request.inputs, lambda _: True)
    header: dict[str, Any] = {"inputs": inputs}
    if request.id is not None:
        header["id"] = request.id
    if request.parameters:
        header["parameters"] = request.parameters
    if request.outputs:
        header["outputs"] = [{"name": o.name, "parameters": dict(o.parameters)} for o in request.outputs]
    if sum(map(len, buffers)) <= LARGE_BYTES:
        body, length = _join(header, buffers)
        return body, length or str(len(body))
    head = orjson.dumps(header)
    return Gathered((head, *buffers)), str(len(head))


def build_response(response: InferResponse, request: InferRequest) -> tuple[bytes, str | None]:
    """Return the body, and the header-length header if any output in it is binary."""
    outputs, buffers = _entries(response.outputs, request.wants_binary)
    header: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if request.id is not None:
        header["id"] = request.id
    if response.parameters:
        header["parameters"] = response.parameters
    header["outputs"] = outputs
    return _join(header, buffers)


def _entries(tensors: Iterable[Tensor], is_binary: Any) -> tuple[list[dict[str, Any]], list[Buffer]]:
    entries: list[dict[str, Any]] = []
    buffers: list[Buffer] = []
    for tensor in tensors:
        entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        parameters = dict(tensor.parameters)
        if is_binary(tensor.name):
            raw = encode_binary(tensor)
            parameters["binary_data_size"] = sum(len(part) for part in raw)
            buffers += raw
        else:
            parameters.pop("content_type", None)
            entry["data"] = encode_json(tensor)
        if parameters:
            entry["parameters"] = parameters
        entries.append(entry)
    return entries, buffers


def _join(header: Mapping[str, Any], buffers: Sequence[Buffer]) -> tuple[bytes, str | None]:
    head = orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((head, *buffers)), str(len(head))) if buffers else (head, None)


def _split(
    body: Buffer, header_length: str | None, max_values: int = MAX_JSON_VALUES, at_once: int | None = None
) -> tuple[dict[str, Any], memoryview]:
    view = memoryview(body)
    length = view.nbytes
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and len(header_length) <= 12):
            raise InvalidInput(f"{HEADER_LENGTH} must be a number of bytes, not {header_length[:40]!r}")
        length = int(header_length)
        if length > view.nbytes:
            raise InvalidInput(f"{HEADER_LENGTH} says {length} bytes, but the body has {view.nbytes}")
    max_json = length if header_length is None else MAX_HEADER_BYTES
    text = body if isinstance(body, bytes) and length == len(body) else bytes(view[:length])  # a copy less of all
    header = loads_bounded(text, max_json, max_values, at_once=at_once)
    if not isinstance(header, dict):
        raise InvalidInput("the JSON must be an object")
    return header, view[length:]


def _requested_outputs(header: Mapping[str, Any]) -> tuple[RequestedOutput, ...]:
    entries = read_objects(header, "outputs")
    if not entries:
        return ()
    if len(entries) > MAX_OUTPUTS:
        raise TooLarge(f"{len(entries)} outputs are requested; at most {MAX_OUTPUTS} are allowed")
    outputs = tuple(map(_requested_output, entries))
    if len({output.name for output in outputs}) != len(outputs):
        raise InvalidInput("an output is requested twice")
    return outputs


def _requested_output(entry: Mapping[str, Any]) -> RequestedOutput:
    name = read_name(entry)
    what = f"output {name!r}"
    parameters = read_parameters(entry, what)
    for flag in (BINARY_DATA, ALL_LABELS):
        if flag in parameters:
            check_flag(parameters, flag, what)
    return RequestedOutput(name, parameters)


def _check_rows(header: Mapping[str, Any], max_rows: int) -> None:
    """Raise TooLarge if an input says that it has more rows; one that says nothing sensible is judged later.

    So are numbers of one dimension: they may be one row without its batch, which only the model's shape can tell.
    """
    for entry in read_objects(header, "inputs"):
        shape = entry.get("shape")
        if not isinstance(shape, list) or not shape or type(rows := shape[0]) is not int or rows <= max_rows:
            continue
        if len(shape) > 1 or entry.get("datatype") == BYTES:
            raise TooLarge(
                f"tensor {read_name(entry)!r} has {rows} rows; at most {max_rows} are allowed at once. The first "
                "number of a shape is the number of rows: a single row needs a 1 there"
            )


def _tensors(
    header: Mapping[str, Any], key: str, tail: memoryview, max_elements: int, at_once: int | None = None
) -> tuple[Tensor, ...]:
    entries = read_objects(header, key)
    if at_once is not None and len(entries) > 1:
        if len(entries) > _FEW_TENSORS:
            raise ManyValues
        at_once //= len(entries)
    tensors: list[Tensor] = []
    names: set[str] = set()
    start = 0
    for entry in entries:
        name = read_name(entry)
        if name in names:
            raise InvalidInput(f"tensor {name!r} occurs twice")
        names.add(name)
        tensor, size = _tensor(name, entry, tail[start:], max_elements, at_once)
        tensors.append(tensor)
        start += size
    if start != tail.nbytes:
        raise InvalidInput(f"the body has {tail.nbytes - start} bytes that belong to no tensor")
    return tuple(tensors)


def _tensor(
    name: str, entry: Mapping[str, Any], tail: memoryview, max_elements: int, at_once: int | None
) -> tuple[Tensor, int]:
    """Read one tensor and say how many binary bytes it took."""
    datatype = entry.get("datatype")
    if not isinstance(datatype, str):
        raise unknown_datatype(name, datatype)
    most = min(max_elements, MAX_BYTES_ELEMENTS) if datatype == BYTES else max_elements
    shape, count = element_count(name, entry.get("shape"), most)
    if at_once is not None and datatype == BYTES and count * _AS_ONE_TEXT > at_once:
        raise ManyValues
    parameters = read_parameters(entry, f"tensor {name!r}")
    size = parameters.get("binary_data_size")
    data = entry.get("data")
    if (data is None) == (size is None):
        raise InvalidInput(f"tensor {name!r} must have exactly one of data and binary_data_size")
    if size is None:
        return decode_json(name, datatype, shape, count, data, parameters), 0
    if type(size) is not int or size < 0:
        raise InvalidInput(f"binary_data_size of tensor {name!r} must be a whole number from 0 up")
    if size > tail.nbytes:
        raise InvalidInput(f"tensor {name!r} says {size} binary bytes, but only {tail.nbytes} are left")
    rest = {key: value for key, value in parameters.items() if key != "binary_data_size"}
    return decode_binary(name, datatype, shape, count, tail[:size], rest), size
