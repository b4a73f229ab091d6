from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
from typing import Any
from unittest.mock import MagicMock, patch

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from splitway.errors import InvalidInput, NotFound, TooLarge
from splitway.http.body_budget import BodyBudget
from splitway.skins.v2_rest import infer_endpoint
from splitway.wire.context import Limits
from splitway.wire.json_data import AT_ONCE, ManyValues
from splitway.wire.messages import InferRequest, InferResponse, RequestedOutput
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import build_request, build_response, parse_request, parse_response


def _request(**entry: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]} | entry
    return json.dumps({"inputs": [{k: v for k, v in tensor.items() if v is not ...}]}).encode()


def test_a_binary_request_comes_back_as_it_was_sent() -> None:
    features = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    tensors = (Tensor.of_array("features", features, {"feature_space": "fs:0"}), Tensor.of_bytes("b", [b"1", b""]))
    request = InferRequest(tensors, (RequestedOutput("y", {"classification": 3}),), "id1", {"binary_data_output": True})
    back = parse_request(*build_request(request))
    assert back.id == "id1"
    assert back.inputs[0].parameters == {"feature_space": "fs:0"}
    assert back.inputs[0].array.tobytes() == features.tobytes()
    assert [bytes(e) for e in back.inputs[1].elements] == [b"1", b""]
    assert back.outputs[0].top_k == 3
    assert back.wants_binary("y")


@pytest.mark.parametrize("binary", [True, False])
def test_a_response_carries_float32_exactly(binary: bool) -> None:
    values = np.random.default_rng(1).normal(size=(2, 7)).astype(np.float32)
    response = InferResponse("m", "1", (Tensor.of_array("y", values),), parameters={"p": 1})
    request = InferRequest((), id="7", parameters={"binary_data_output": binary})
    body, length = build_response(response, request)
    assert (length is not None) == binary
    back = parse_response(body, length)
    assert (back.model_name, back.model_version, back.id, back.parameters) == ("m", "1", "7", {"p": 1})
    assert back.output("y").array.tobytes() == values.tobytes()


def test_what_is_said_per_output_wins() -> None:
    request = InferRequest((), (RequestedOutput("y", {"binary_data": False}),), parameters={"binary_data_output": True})
    assert not request.wants_binary("y")
    assert request.wants_binary("z")


@pytest.mark.parametrize(
    "data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[1.0, 2], [3, 4.0]]], ids=["flat", "nested", "mixed"]
)
def test_json_data_may_be_flat_or_nested(data: list[Any]) -> None:
    assert parse_request(_request(data=data), None).inputs[0].array.tolist() == [[1, 2], [3, 4]]


def test_base64_elements_are_decoded() -> None:
    body = _request(datatype="BYTES", shape=[1], data=["AAEC"], parameters={"content_type": "base64"})
    assert list(parse_request(body, None).inputs[0].elements) == [b"\x00\x01\x02"]


BAD = {
    "not json": b"{",
    "not an object": b"[]",
    "not utf-8": b'{"inputs": "\xff"}',
    "deep json": b"[" * 100_000,
    "deep data": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":' + b"[" * 900 + b"]" * 900 + b"}]}",
    "no inputs": b"{}",
    "inputs no list": b'{"inputs": {}}',
    "input no object": b'{"inputs": [1]}',
    "no name": _request(name=...),
    "empty name": _request(name=""),
    "no shape": _request(shape=...),
    "no datatype": _request(datatype=...),
    "unknown datatype": _request(datatype="FP8"),
    "unhashable datatype": _request(datatype=[]),
    "neither data nor size": _request(data=...),
    "both data and size": _request(parameters={"binary_data_size": 16}),
    "too few": _request(data=[1, 2, 3]),
    "too many": _request(data=[1] * 5),
    "ragged": _request(data=[[1, 2], [3]]),
    "wrong nesting": _request(data=[[1, 2, 3, 4]]),
    "text for numbers": _request(data=["1", "2", "3", "4"]),
    "null for numbers": _request(data=[1, 2, 3, None]),
    "bool for numbers": _request(data=[True, True, True, False]),
    "fraction for int": _request(datatype="INT32", data=[1, 2, 3, 4.5]),
    "int out of range": _request(datatype="UINT8", data=[1, 2, 3, 256]),
    "negative for unsigned": _request(datatype="UINT64", data=[1, 2, 3, -1]),
    "huge int": _request(datatype="INT64", data=[1, 2, 3, 2**80]),
    "numbers for bytes": _request(datatype="BYTES"),
    "bad base64": _request(datatype="BYTES", shape=[1], data=["%"], parameters={"content_type": "base64"}),
    "shape overflow": _request(shape=[2**40, 2**40]),
    "shape overflow behind a zero": _request(shape=[0, 2**64 - 1], data=[]),
    "long text among numbers": _request(shape=[3], data=["x" * 1000, "", ""]),
    "parameters nested": _request(parameters={"a": [[1]]}),
    "too many byte strings": _request(datatype="BYTES", shape=[2**20], data=..., parameters={"binary_data_size": 0}),
    "parameters no object": _request(parameters=[]),
    "size no int": _request(data=..., parameters={"binary_data_size": "16"}),
    "size negative": _request(data=..., parameters={"binary_data_size": -1}),
    "size beyond body": _request(data=..., parameters={"binary_data_size": 16}),
    "id no string": orjson.dumps({"id": 1, "inputs": []}),
    "twice": orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [0], "data": []}] * 2}),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_bad_requests_are_refused_with_a_sentence(body: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_request(body, None)
    assert len(caught.value.detail) > 10


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999", "9" * 400, " 1", "\u0663"], ids=repr)
def test_a_bad_header_length_is_refused(length: str) -> None:
    with pytest.raises(InvalidInput):
        parse_request(_request(), length)


def test_bytes_that_belong_to_no_tensor_are_refused() -> None:
    body, length = build_request(InferRequest((Tensor.of_array("x", np.zeros((1, 2), np.float32)),)))
    with pytest.raises(InvalidInput, match="3 bytes that belong to no tensor"):
        parse_request(body + b"123", length)


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(0, 200).map(str)))
def test_noise_is_refused_and_never_crashes(body: bytes, length: str | None) -> None:
    try:
        parse_request(body, length)
    except InvalidInput:
        return
    pytest.fail("noise was taken for a request")


def test_a_timeout_is_in_microseconds() -> None:
    assert InferRequest((), parameters={"timeout": 1500}).timeout_s == pytest.approx(0.0015)
    assert InferRequest(()).timeout_s is None
    with pytest.raises(InvalidInput):
        _ = InferRequest((), parameters={"timeout": "1"}).timeout_s


def test_json_with_too_many_values_is_refused_before_it_is_read() -> None:
    body = b'{"inputs": [' + b"{}," * (1 << 20) + b"{}]}"
    with pytest.raises(TooLarge, match="send tensors as binary"):
        parse_request(body, None)


def test_a_header_over_its_limit_is_refused() -> None:
    body = b" " * (1 << 20) + b"{}"
    with pytest.raises(TooLarge, match="at most 1048576"):
        parse_request(body, str(len(body)))


def test_nested_data_of_no_elements() -> None:
    assert parse_request(_request(shape=[2, 0], data=[[], []]), None).inputs[0].array.shape == (2, 0)


def _with(**top: Any) -> bytes:
    return json.dumps(json.loads(_request()) | top).encode()


@pytest.mark.parametrize("flag", ["false", "true", 0, 1, 0.0, ""], ids=repr)
def test_a_flag_that_is_no_boolean_is_refused_and_not_guessed(flag: Any) -> None:
    with pytest.raises(InvalidInput, match="binary_data_output of the request must be true or false"):
        parse_request(_with(parameters={"binary_data_output": flag}), None)
    with pytest.raises(InvalidInput, match="binary_data of output 'y' must be true or false"):
        parse_request(_with(outputs=[{"name": "y", "parameters": {"binary_data": flag}}]), None)


def test_what_is_null_is_absent() -> None:
    whole = parse_request(_with(id=None, parameters=None, outputs=None), None)
    assert (whole.id, whole.parameters, whole.outputs) == (None, {}, ())
    assert parse_request(_request(parameters=None), None).inputs[0].parameters == {}
    inner = parse_request(
        _with(
            parameters={"binary_data_output": None, "head": "pets"},
            outputs=[{"name": "y", "parameters": None}, {"name": "z", "parameters": {"binary_data": None}}],
        ),
        None,
    )
    assert inner.parameters == {"head": "pets"}
    assert [dict(output.parameters) for output in inner.outputs] == [{}, {}]
    sized = _request(data=None, parameters={"binary_data_size": 16})
    assert parse_request(sized + bytes(16), str(len(sized))).inputs[0].array.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("datatype", "value", "says"),
    [
        ("FP32", 1e39, "1e+39 is too large for FP32"),
        ("FP32", -1e39, "-1e+39 is too large for FP32"),
        ("FP32", 10**300, "too large for FP32"),
        ("FP16", 70000, "70000 is too large for FP16, which holds up to 65504"),
        ("UINT8", 256, "256 is too large for UINT8, which holds 0 to 255"),
        ("UINT8", -1, "-1 is too small for UINT8"),
        ("INT64", 2**63, "too large for INT64"),
        ("INT64", -(2**63) - 1, "too small for INT64"),
        ("UINT64", 2**64, "too large for UINT64"),
        ("INT32", 2.0, "2.0 is no INT32"),
        ("FP32", True, "true is no FP32"),
        ("FP32", None, "null is no FP32"),
        ("FP32", "1", '"1" is no FP32'),
    ],
)
def test_a_number_that_does_not_fit_is_named_with_its_place(datatype: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_request(_request(datatype=datatype, data=[1, 2, value, 4]), None)
    assert caught.value.detail.startswith("tensor 'x' at [1, 0]: ")
    assert says in caught.value.detail


def test_the_largest_number_of_a_type_is_taken() -> None:
    most = float(np.finfo(np.float32).max)
    assert parse_request(_request(data=[most, -most, 0, 0]), None).inputs[0].array[0].tolist() == [most, -most]


@pytest.mark.parametrize("datatype", ["BF16", "float32", "fp32", "STRING"])
def test_an_unknown_datatype_names_the_known_ones(datatype: str) -> None:
    with pytest.raises(InvalidInput, match=rf"'{datatype}', which is not known: there are BOOL, .*FP32, FP64, BYTES"):
        parse_request(_request(datatype=datatype), None)


def _binary() -> tuple[bytes, bytes]:
    return _request(data=..., parameters={"binary_data_size": 16}), np.ones(4, "<f4").tobytes()


@pytest.mark.parametrize("tail", [b"\0" * 16, b"," * (1 << 21)], ids=["numbers", "commas"])
def test_binary_tensors_without_the_header_of_their_beginning_say_which_it_is(tail: bytes) -> None:
    with pytest.raises(InvalidInput, match="inference-header-content-length must say how many bytes the JSON has"):
        parse_request(_binary()[0] + tail, None)


@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_wrong_header_length_is_named(off_by: int) -> None:
    header, tail = _binary()
    length = len(header) + off_by
    with pytest.raises(InvalidInput, match=f"of the {length} bytes that inference-header-content-length says are JSON"):
        parse_request(header + tail, str(length))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\xff\xd8\xff\xe0" + b"," * (1 << 21), "a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"\0\0\0\x18ftypheic", "a HEIC or AVIF picture"),
        (b"--abc\r\nContent-Disposition: form-data", "a multipart form"),
        (gzip.compress(b"{}"), "the header content-encoding"),
        (b"", "the body is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
    ],
    ids=["jpeg", "png", "webp", "heic", "form", "gzip", "nothing", "bom"],
)
def test_what_is_no_json_is_told_what_it_is_and_where_it_goes(body: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse_request(body, None)


def test_rows_are_counted_before_anything_is_read_but_not_of_what_may_lack_its_batch() -> None:
    with pytest.raises(TooLarge, match=r"has 65 rows; at most 64 .* The first number of a shape is the number of rows"):
        parse_request(_request(shape=[65, 1], data="unread"), None, max_rows=64)
    with pytest.raises(TooLarge, match="has 65 rows"):
        parse_request(_request(datatype="BYTES", shape=[65], data="unread"), None, max_rows=64)
    assert parse_request(_request(shape=[65], data=[0] * 65), None, max_rows=64).inputs[0].shape == (65,)


def _many_bytes(count: int) -> tuple[bytes, str]:
    return build_request(InferRequest((Tensor.of_bytes("x", [b""] * count, (1, count)),)))


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (_request(shape=[1, 9_000], data=[1] * 9_000), None),
        (_request(shape=[1, 9_000], datatype="UINT8", data=[1] * 8_999 + [999]), None),
        (_request(shape=[1, 5_000, 1], data=[[[1]] * 5_000]), None),
        (_request(shape=[1, 2_000], datatype="BYTES", data=["QQ"] * 2_000), None),
        _many_bytes(600),
        (
            orjson.dumps(
                {"inputs": [{"name": str(n), "datatype": "FP32", "shape": [0], "data": []} for n in range(99)]}
            ),
            None,
        ),
    ],
)
def test_what_takes_long_to_read_is_not_read_at_once(body: bytes, length: str | None) -> None:
    """A quarter of a megabyte, which is small, may hold 130,000 values: they held a loop for 50 ms, base64 for 400."""
    with pytest.raises(ManyValues):
        parse_request(body, length, at_once=AT_ONCE)
    with contextlib.suppress(InvalidInput):
        parse_request(body, length)


def test_what_takes_no_time_is_read_at_once() -> None:
    features = Tensor.of_array("x", np.zeros((40, 1280), np.float32))
    for request in (InferRequest((features,)), InferRequest((Tensor.of_bytes("x", [bytes(200_000)]),))):
        assert parse_request(*build_request(request), at_once=AT_ONCE).inputs[0].rows
    assert parse_request(_request(shape=[1, 4_000], data=[1] * 4_000), None, at_once=AT_ONCE).inputs[0].rows == 1


async def test_it_is_read_in_another_thread() -> None:
    threads: list[str] = []

    class Plane:
        def watch(self, headers: Any) -> Any:
            return MagicMock()

        async def infer(self, request: InferRequest, context: Any) -> Any:
            raise NotFound("this far")

    def seen(*args: Any, **options: Any) -> InferRequest:
        threads.append(threading.current_thread().name)
        return parse_request(*args, **options)

    body = _request(shape=[1, 60_000], data=[1] * 60_000)
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop(0) if messages else await asyncio.Event().wait()  # type: ignore[return-value]

    request = Request({"type": "http", "method": "POST", "query_string": b"", "headers": [], "state": {}}, receive)
    bodies = BodyBudget(1 << 20, 1, lambda _: "")
    with patch("splitway.skins.v2_rest.parse_request", seen):
        endpoint = infer_endpoint(Plane(), Limits(1 << 20, 1 << 20, 5, 5), bodies)
    with pytest.raises(NotFound):
        await endpoint(request)
    assert [name.startswith("bodies") for name in threads] == [False, True]


@pytest.mark.parametrize("body", [b'{"inputs"', '{"inputs": 1}'.encode("utf-16"), b"[]", b'{"inputs": [1]}'])
def test_no_refusal_is_its_own_cause(body: bytes) -> None:
    """What follows an error's causes to their end would never get there: 100 KB of it stopped a gateway."""
    with pytest.raises(InvalidInput) as caught:
        parse_request(body, None)
    error: BaseException | None = caught.value
    for _ in range(10):
        error = error and (error.__cause__ or error.__context__)
    assert error is None
