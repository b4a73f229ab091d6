"""An inference request's body, as it comes to the gateway and to a stage."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from splitway.errors import SplitwayError
from splitway.wire.messages import InferRequest, InferResponse
from splitway.wire.tensor import BYTES, Tensor, encode_binary
from splitway.wire.v2_json import build_request, build_response, parse_request
from tests.fuzz.frames import SEPARATOR, TOKENS, json_of, split_frame, whole_frames
from tests.fuzz.target import Target


def run(data: bytes) -> None:
    body, header_length = split_frame(data)
    try:
        request = parse_request(body, header_length, max_elements=1 << 16)
        _ = request.timeout_s
        for output in request.outputs:
            _ = output.top_k
    except SplitwayError:
        return
    again = parse_request(*build_request(request))
    assert _meaning(again) == _meaning(request)
    if header_length is not None:
        _takes_every_byte(body, int(header_length), request)
    build_response(InferResponse("model", "1", request.inputs, request.id, request.parameters), request)


def _takes_every_byte(body: bytes, length: int, request: InferRequest) -> None:
    """What follows the JSON is the binary tensors and nothing else."""
    entries = orjson.loads(body[:length])["inputs"]
    binary = {entry["name"] for entry in entries if "data" not in entry}
    sizes = [len(part) for t in request.inputs if t.name in binary for part in encode_binary(t)]
    assert sum(sizes) == len(body) - length


def _meaning(request: InferRequest) -> object:
    tensors = [(t.name, t.datatype, t.shape, t.parameters, _raw(t)) for t in request.inputs]
    outputs = [(o.name, dict(o.parameters)) for o in request.outputs]
    return tensors, outputs, request.id, request.parameters, request.timeout_s


def _raw(tensor: Tensor) -> object:
    return [bytes(each) for each in tensor.elements] if tensor.datatype == BYTES else tensor.array.tobytes()


def seeds() -> Iterator[bytes]:
    yield from whole_frames("inputs", {"id": "a", "parameters": {"timeout": 5, "binary_data_output": True}})
    classes = [{"name": "probabilities", "parameters": {"classification": 3}}]
    text = {"name": "image", "datatype": "BYTES", "shape": [2], "data": ["AAE=", "eA=="]}
    yield b"\n" + orjson.dumps({"inputs": [text | {"parameters": {"content_type": "base64"}}], "outputs": classes})
    nested = {"name": "x", "datatype": "INT64", "shape": [2, 2], "data": [[1, 2], [3, -4]]}
    yield b"\n" + orjson.dumps({"inputs": [nested]})
    yield b"12\n{}" + SEPARATOR + b"tail"
    short = {"name": "x", "datatype": "BYTES", "shape": [3], "parameters": {"binary_data_size": 11}}  # holds two
    yield b"=\n" + orjson.dumps({"inputs": [short]}) + SEPARATOR + b"\x03\0\0\0one\0\0\0\0"


TARGET = Target(run, seeds, TOKENS, json_at=json_of)
