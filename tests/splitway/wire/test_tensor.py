from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from splitway.errors import InvalidInput
from splitway.wire.tensor import NUMPY_DTYPES, Tensor, TensorSpec, decode_binary, element_count, encode_binary

ARRAYS = hnp.arrays(st.sampled_from(list(NUMPY_DTYPES.values())), hnp.array_shapes(max_dims=4, min_side=0, max_side=5))


@given(ARRAYS)
def test_numbers_survive_the_wire_bit_for_bit(array: np.ndarray) -> None:
    tensor = Tensor.of_array("x", array)
    raw = memoryview(b"".join(encode_binary(tensor)))
    back = decode_binary("x", tensor.datatype, tensor.shape, array.size, raw)
    assert back.array.tobytes() == array.tobytes()
    assert back.shape == array.shape


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_byte_strings_survive_the_wire(elements: list[bytes]) -> None:
    tensor = Tensor.of_bytes("x", elements, (len(elements),))
    raw = memoryview(b"".join(encode_binary(tensor)))
    back = decode_binary("x", "BYTES", tensor.shape, len(elements), raw)
    assert [bytes(element) for element in back.elements] == elements


def test_a_decoded_array_is_a_view_not_a_copy() -> None:
    raw = memoryview(np.arange(6, dtype="<f4").tobytes())
    assert not decode_binary("x", "FP32", (2, 3), 6, raw).array.flags.owndata


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\x01\x00", "ends before element 0"),
        (b"\xff\xff\xff\xff", "says 4294967295 bytes"),
        (b"\x00\x00\x00\x00\x00", "1 bytes left"),
    ],
    ids=["length cut short", "length overflow", "bytes left over"],
)
def test_broken_byte_strings_are_refused(raw: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        decode_binary("x", "BYTES", (1,), 1, memoryview(raw))


def test_a_wrong_size_is_refused_with_both_numbers() -> None:
    with pytest.raises(InvalidInput, match="takes 24 bytes, but 8 were sent"):
        decode_binary("x", "FP32", (2, 3), 6, memoryview(bytes(8)))


def test_an_unknown_datatype_is_refused() -> None:
    with pytest.raises(InvalidInput, match="FP8"):
        decode_binary("x", "FP8", (1,), 1, memoryview(b"1"))


@pytest.mark.parametrize(
    "shape",
    [None, "2", {}, [1.0], [True], [-1], ["1"], [2**62, 2**62], [2**20, 2**20], [1] * 9],
    ids=str,
)
def test_impossible_shapes_are_refused(shape: object) -> None:
    with pytest.raises(InvalidInput):
        element_count("x", shape, 1 << 26)


@pytest.mark.parametrize(
    ("datatype", "shape", "fits"),
    [
        ("FP32", (3, 4), True),
        ("FP32", (0, 4), True),
        ("FP64", (3, 4), False),
        ("FP32", (3, 5), False),
        ("FP32", (4,), False),
        ("FP32", (1, 3, 4), False),
    ],
)
def test_a_spec_takes_only_what_fits(datatype: str, shape: tuple[int, ...], fits: bool) -> None:
    tensor = Tensor("x", datatype, shape, np.zeros(shape, NUMPY_DTYPES[datatype]))
    spec = TensorSpec("x", "FP32", (-1, 4))
    if fits:
        spec.check(tensor)
    else:
        with pytest.raises(InvalidInput, match="tensor 'x' must"):
            spec.check(tensor)


def test_numbers_are_not_taken_for_bytes_nor_bytes_for_numbers() -> None:
    with pytest.raises(InvalidInput):
        _ = Tensor.of_bytes("x", [b"1"]).array
    with pytest.raises(InvalidInput):
        _ = Tensor.of_array("x", np.zeros(1, np.float32)).elements


@pytest.mark.parametrize(
    ("spec", "shape", "says"),
    [
        ((-1, 4), (4,), r"its batch is missing, send \[1, 4\] for one row"),
        ((-1,), (), r"its batch is missing, send \[1\] for one row"),
        ((-1, 2, 2), (2, 2), r"send \[1, 2, 2\] for one row"),
        ((-1, 4), (1, 5), "-1 stands for any number"),
    ],
)
def test_a_shape_that_does_not_fit_is_told_what_to_send(
    spec: tuple[int, ...], shape: tuple[int, ...], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        TensorSpec("x", "FP32", spec).check(Tensor.of_array("x", np.zeros(shape, np.float32)))
