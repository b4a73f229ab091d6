"""Rows of inputs and answers in a file: read as the model takes them, or refused with file, line and name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.errors import SetupError
from splitway.splitter.graph import Wire
from splitway.splitter.proof.samples import MOST_ROWS, Samples, read_samples

TAKES = {"numbers": Wire(1, (2, 2), "float32"), "code": Wire(2, (1,), "int32")}
GIVES = {"score": Wire(3, (1,), "float32"), "kind": Wire(4, (3,), "float32")}
ONE = {"x": Wire(1, (3,), "float32")}
NUMBERS = np.arange(8, dtype=np.float64).reshape(2, 2, 2)
Read = Callable[..., Samples]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def of(name: str, content: Any, takes: Any = TAKES, gives: Any = GIVES, also: Any = None) -> Samples:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            np.savez(path, **content)
        return read_samples(path, takes, gives, also)

    return of


def equal(found: Samples, **expected: NDArray[Any]) -> None:
    every = {**found.inputs, **found.answers}
    assert every.keys() == expected.keys()
    for name, rows in expected.items():
        np.testing.assert_array_equal(every[name], rows)
        assert every[name].dtype == rows.dtype, name


ROWS = {"numbers": NUMBERS.astype(np.float32), "code": np.array([[3], [4]], np.int32)}
SCORE = {"score": np.array([[0.5], [0.25]], np.float32)}


def test_an_npz_holds_arrays_by_name_and_perhaps_the_answers(read: Read) -> None:
    found = read("a.npz", {"numbers": NUMBERS, "code": np.array([3, 4]), "score": [[0.5], [0.25]]})
    equal(found, **ROWS, **SCORE)
    assert set(found.answers) == {"score"}
    assert not read("b.npz", {"numbers": NUMBERS, "code": [[3.0], [4.0]]}).answers


def test_a_jsonl_holds_an_object_a_line(read: Read) -> None:
    rows = [{"code": n + 3, "numbers": NUMBERS[n].tolist(), "score": [0.5 / (n + 1)]} for n in range(2)]
    equal(read("a.jsonl", "\ufeff" + "\n\n".join(map(json.dumps, rows))), **ROWS, **SCORE)


def test_a_csv_has_columns_by_name_and_place_in_any_order(read: Read) -> None:
    lines = ["score,code,numbers[1],numbers[0],numbers[2],numbers[3]", "0.5,3,1,0,2,3", "", "0.25, 4 ,5,4,6,7.0"]
    equal(read("a.csv", "\ufeff" + "\r\n".join(lines)), **ROWS, **SCORE)


def test_a_csv_for_one_input_may_have_columns_of_its_own_names(read: Read) -> None:
    found = read("a.csv", "age,height,score,weight\n30,1.5,0.5,70\n40,1.75,0.25,true\n", ONE)
    equal(found, x=np.array([[30, 1.5, 70], [40, 1.75, 1]], np.float32), **SCORE)


def test_other_names_stand_for_inputs_and_outputs(read: Read) -> None:
    also = {"pixels": "x", "probabilities": "kind"}
    found = read("a.npz", {"pixels": np.ones((1, 3)), "probabilities": np.ones((1, 3))}, ONE, GIVES, also)
    assert (set(found.inputs), set(found.answers)) == ({"x"}, {"kind"})
    assert set(read("a.csv", "pixels[0],pixels[1],pixels[2]\n1,2,3", ONE, GIVES, also).inputs) == {"x"}


def test_of_a_large_file_the_first_rows_are_read(read: Read) -> None:
    many = MOST_ROWS + 9
    for name, content in (
        ("a.npz", {"x": np.ones((many, 3))}),
        ("a.csv", "a,b,c\n" + "1,2,3\n" * many),
        ("a.jsonl", '{"x": [1, 2, 3]}\n' * many),
    ):
        assert len(read(name, content, ONE).inputs["x"]) == MOST_ROWS


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


def _line(**row: Any) -> str:
    return json.dumps({"numbers": [[1, 2], [3, 4]], "code": [1]} | row)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", "", "must be one of .npz, .csv, .jsonl"),
        ("a.npz", b"", "a.npz cannot be read"),
        ("a.npz", b"PK\x03\x04 cut", "a.npz cannot be read"),
        ("a.npz", _npy(), "one array without a name"),
        ("a.npz", {}, "a.npz has no rows"),
        ("a.npz", {"numbers": NUMBERS}, "has nothing for the input 'code'; the model takes 'numbers', 'code'"),
        ("a.npz", {"numbers": NUMBERS, "cod": [1, 2]}, "'cod' is not an input or output; the model takes"),
        ("a.npz", {"numbers": NUMBERS, "code": [1, 2, 3]}, "different numbers of rows: 2 of 'numbers', 3 of 'code'"),
        ("a.npz", {"numbers": NUMBERS[:0], "code": np.zeros(0)}, "a.npz has no rows"),
        ("a.npz", {"numbers": NUMBERS[0], "code": [1, 2]}, "'numbers' has rows of 2; the model's have 2x2"),
        ("a.npz", {"numbers": NUMBERS, "code": 3}, "'code' is a single number"),
        ("a.npz", {"numbers": NUMBERS, "code": ["a", "b"]}, "'code' is not made of numbers"),
        ("a.npz", {"numbers": np.array([None]), "code": [1]}, "a.npz cannot be read: Object arrays"),
        ("a.npz", {"numbers": NUMBERS, "code": [1, 2.5]}, "'code', row 1: 2.5 cannot be int32"),
        ("a.npz", {"numbers": NUMBERS * [1, np.nan], "code": [1, 2]}, "row 0: nan cannot be float32"),
        ("a.npz", {"numbers": NUMBERS * 1e39, "code": [1, 2]}, "cannot be float32"),
        ("a.jsonl", "", "a.jsonl has no rows"),
        ("a.jsonl", "\n \n", "a.jsonl has no rows"),
        ("a.jsonl", f"{_line()}\n{{", "line 2 is not JSON"),
        ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("a.jsonl", "[1]", "line 1 is not an object"),
        ("a.jsonl", f"{_line()}\n{_line(x=1)}", "line 2: 'x' is not an input or output"),
        ("a.jsonl", f"{_line()}\n{_line(score=1)}", "line 2: 'score' is in some rows and not in others"),
        ("a.jsonl", _line(numbers=[[1, 2], [3]]), "line 1: 'numbers' is ragged"),
        ("a.jsonl", _line(numbers=[1, 2]), "line 1: 'numbers' has rows of 2; the model's have 2x2"),
        ("a.jsonl", _line(numbers=[[1, 2], [3, None]]), "line 1: 'numbers' is not made of numbers"),
        ("a.jsonl", _line(numbers=[[1, 2], [3, "4"]]), "line 1: 'numbers' is not made of numbers"),
        (
            "a.jsonl",
            f"{_line()}\n{_line(numbers=[[1, 2], [3, float('nan')]])}",
            "line 2: 'numbers': nan cannot be float32",
        ),
        ("a.jsonl", _line(code=[2**40]), "line 1: 'code': 1099511627776 cannot be int32"),
        ("a.jsonl", _line(code=[10**30]), "line 1: 'code' is not made of numbers"),
        ("a.jsonl", b"\xff\xfe", "a.jsonl is not text in UTF-8"),
        ("a.csv", "", "a.csv has no rows"),
        ("a.csv", "code,numbers[0],numbers[1],numbers[2],numbers[3]\n", "a.csv has no rows"),
        ("a.csv", "code,numbers\n1,2", "'numbers' has 4 numbers a row, and 1 columns here"),
        ("a.csv", "code,code\n1,2", "line 1: there are two columns 'code'"),
        ("a.csv", "code,other\n1,2", "name[0],name[1],... for one of several): 'other' is not an input or output"),
        (
            "a.csv",
            "code,numbers[0]\n1,2",
            "and 1 columns here: name for an input of one number, name[0],name[1],... for",
        ),
        ("a.csv", "code\n1", "has nothing for the input 'numbers'"),
        ("a.csv", "code,numbers[0],numbers[1],numbers[2],numbers[3]\n1,2,3,4,5\n1,2", "line 3 has 2 fields"),
        (
            "a.csv",
            "code,numbers[0],numbers[1],numbers[2],numbers[3]\n1,2,x,4,5",
            "column 'numbers[1]': 'x' is not a number",
        ),
        (
            "a.csv",
            "code,numbers[0],numbers[1],numbers[2],numbers[3]\n1.5,2,3,4,5",
            "line 2: 'code': 1.5 cannot be int32",
        ),
        (
            "a.csv",
            "code,numbers[0],numbers[1],numbers[2],numbers[3]\n1,2,3,4,5\n1,nan,3,4,5",
            "line 3: 'numbers': nan cannot",
        ),
    ],
)
def test_what_is_not_right_is_said_with_its_place(read: Read, name: str, content: Any, says: str) -> None:
    with pytest.raises(SetupError) as raised:
        read(name, content)
    assert says in raised.value.detail
    assert name in raised.value.detail
    assert "\n" not in raised.value.detail


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot read the samples .*none.csv: No such file"):
        read_samples(tmp_path / "none.csv", TAKES, GIVES)


def test_a_first_line_of_numbers_is_no_header_and_is_not_lost(read: Read) -> None:
    with pytest.raises(SetupError, match="line 1 has numbers: the first line names the columns"):
        read("m.csv", "1.5,-2,3e1\n4,5,6\n", ONE, GIVES)
    equal(read("pandas.csv", "0,1,2\n4,5,6\n", ONE, GIVES), x=np.array([[4, 5, 6]], np.float32))


def test_an_input_that_is_there_by_two_names_is_refused(read: Read) -> None:
    for name, content in (
        ("m.npz", {"x": np.ones((1, 3)), "pixels": np.zeros((1, 3))}),
        ("m.jsonl", '{"x": [1, 2, 3], "pixels": [0, 0, 0]}'),
    ):
        with pytest.raises(SetupError, match="two values for 'x'"):
            read(name, content, ONE, GIVES, {"pixels": "x"})


def test_what_is_no_npz_is_not_said_to_need_pickle(read: Read) -> None:
    with pytest.raises(SetupError, match=r"it is not an \.npz file: save it with numpy\.savez") as raised:
        read("m.npz", b"garbage")
    assert "pickle" not in str(raised.value)
